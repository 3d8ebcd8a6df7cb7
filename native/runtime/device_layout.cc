#include "runtime/device_layout.h"

#include <algorithm>
#include <vector>

#include "runtime/failure.h"

namespace rknn_ep {
namespace {

bool has_dims(const rknn_tensor_attr& attr, const std::vector<uint64_t>& dims) {
  return attr.n_dims == dims.size() && std::equal(dims.begin(), dims.end(), attr.dims);
}

[[noreturn]] void refuse(const TensorSpec& spec, const rknn_tensor_attr& attr) {
  static const char* const formats[] = {"NCHW", "NHWC", "NC1HWC2", "UNDEFINED"};
  const std::vector<int64_t> dims(attr.dims, attr.dims + std::min<uint32_t>(attr.n_dims, RKNN_MAX_DIMS));
  const auto format = static_cast<size_t>(attr.fmt);
  throw Failure("'" + spec.name + "' has the shape " + shape_text(spec.dims.data(), spec.dims.size()) +
                ", the device holds " + shape_text(dims.data(), dims.size()) + " as " +
                (format < 4 ? formats[format] : "format " + std::to_string(format)) + " with rows of " +
                std::to_string(attr.w_stride) + ", which io_mode=zero_copy cannot fill");
}

}  // namespace

DeviceLayout::DeviceLayout(const TensorSpec& spec, const rknn_tensor_attr& attr) {
  uint64_t elements = 1;
  for (const int64_t dim : spec.dims) elements *= static_cast<uint64_t>(dim);
  const bool image = spec.dims.size() == 4;
  if (image && attr.fmt != RKNN_TENSOR_UNDEFINED) {
    batch = static_cast<uint64_t>(spec.dims[0]);
    channels = static_cast<uint64_t>(spec.dims[1]);
    height = static_cast<uint64_t>(spec.dims[2]);
    width = static_cast<uint64_t>(spec.dims[3]);
  } else {
    width = elements;
  }
  const bool padded_rows = attr.w_stride > width;
  if (image && attr.fmt == RKNN_TENSOR_NHWC && has_dims(attr, {batch, height, width, channels})) {
    width_step = channels;
    height_step = std::max<uint64_t>(attr.w_stride, width) * channels;
    channel_block = channels;
    batch_step = std::max<uint64_t>(attr.h_stride, height) * height_step;
  } else if (image && attr.fmt == RKNN_TENSOR_NC1HWC2 && attr.n_dims == 5 && attr.dims[4] > 0 && !padded_rows &&
             has_dims(attr, {batch, (channels + attr.dims[4] - 1) / attr.dims[4], height, width, attr.dims[4]})) {
    channel_block = width_step = attr.dims[4];
    height_step = width * channel_block;
    block_step = height * height_step;
    batch_step = attr.dims[1] * block_step;
  } else if (image && attr.fmt == RKNN_TENSOR_NCHW && has_dims(attr, {batch, channels, height, width}) &&
             !padded_rows) {
    height_step = width;
    block_step = height * width;
    batch_step = channels * block_step;
  } else if (attr.fmt == RKNN_TENSOR_UNDEFINED && attr.n_elems == elements) {
    batch_step = elements;
  } else {
    refuse(spec, attr);
  }
  total = batch * batch_step;
}

}  // namespace rknn_ep
