#include "runtime/device_side.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "runtime/failure.h"

namespace rknn_ep {
namespace {

using tensor::Layout;
using tensor::Side;

struct Picture {
  uint64_t batch, channels, height, width;
};

uint64_t elements_of(const TensorSpec& spec) {
  uint64_t elements = 1;
  for (const int64_t dim : spec.dims) elements *= static_cast<uint64_t>(dim);
  return elements;
}

Picture picture_of(const TensorSpec& spec) {
  if (spec.picture) {
    return {static_cast<uint64_t>(spec.dims[0]), static_cast<uint64_t>(spec.dims[3]),
            static_cast<uint64_t>(spec.dims[1]), static_cast<uint64_t>(spec.dims[2])};
  }
  return {static_cast<uint64_t>(spec.dims[0]), static_cast<uint64_t>(spec.dims[1]), static_cast<uint64_t>(spec.dims[2]),
          static_cast<uint64_t>(spec.dims[3])};
}

bool has_dims(const rknn_tensor_attr& attr, const std::vector<uint64_t>& dims) {
  return attr.n_dims == dims.size() && std::equal(dims.begin(), dims.end(), attr.dims);
}

bool is_real(rknn_tensor_type type) { return type == RKNN_TENSOR_FLOAT32 || type == RKNN_TENSOR_FLOAT16; }

[[noreturn]] void refuse_layout(const TensorSpec& spec, const rknn_tensor_attr& attr) {
  static const char* const formats[] = {"NCHW", "NHWC", "NC1HWC2", "UNDEFINED"};
  const std::vector<int64_t> dims(attr.dims, attr.dims + std::min<uint32_t>(attr.n_dims, RKNN_MAX_DIMS));
  const auto format = static_cast<size_t>(attr.fmt);
  throw Failure("'" + spec.name + "' has the shape " + shape_text(spec.dims.data(), spec.dims.size()) +
                ", the device holds " + shape_text(dims.data(), dims.size()) + " as " +
                (format < 4 ? formats[format] : "format " + std::to_string(format)) + " with rows of " +
                std::to_string(attr.w_stride) + ", which io_mode=zero_copy cannot fill");
}

[[noreturn]] void refuse_type(const TensorSpec& spec, const rknn_tensor_attr& attr) {
  throw Failure("'" + spec.name + "' is " + spec.type_name + ", the device holds rknn_tensor_type " +
                std::to_string(attr.type) + " with rknn_tensor_qnt_type " + std::to_string(attr.qnt_type) +
                ", which io_mode=zero_copy does not convert");
}

Layout device_layout(const TensorSpec& spec, const rknn_tensor_attr& attr) {
  const bool picture = spec.dims.size() == 4;
  if (attr.fmt == RKNN_TENSOR_UNDEFINED && attr.n_elems == elements_of(spec)) return tensor::flat(attr.n_elems);
  if (!picture) refuse_layout(spec, attr);
  const auto [n, c, h, w] = picture_of(spec);
  if (attr.fmt == RKNN_TENSOR_NHWC && has_dims(attr, {n, h, w, c})) {
    return tensor::nhwc(n, c, h, w, attr.w_stride, attr.h_stride);
  }
  if (attr.fmt == RKNN_TENSOR_NC1HWC2 && attr.n_dims == 5 && attr.dims[4] > 0) {
    const uint64_t block = attr.dims[4];
    if (has_dims(attr, {n, (c + block - 1) / block, h, w, block})) {
      return tensor::nc1hwc2(n, c, h, w, block, attr.w_stride, attr.h_stride);
    }
  }
  if (attr.fmt == RKNN_TENSOR_NCHW && has_dims(attr, {n, c, h, w})) {
    return tensor::nchw(n, c, h, w, attr.w_stride, attr.h_stride);
  }
  refuse_layout(spec, attr);
}

// Same on both sides and moved as it is: the number of bits is all that counts.
rknn_tensor_type bits_of(rknn_tensor_type type) { return type == RKNN_TENSOR_BFLOAT16 ? RKNN_TENSOR_UINT16 : type; }

void set_codes(Side& side, const TensorSpec& spec, const rknn_tensor_attr& attr) {
  int64_t lowest = 0, highest = 0;
  switch (attr.type) {
    case RKNN_TENSOR_INT8:
      lowest = std::numeric_limits<int8_t>::min(), highest = std::numeric_limits<int8_t>::max();
      break;
    case RKNN_TENSOR_UINT8:
      highest = std::numeric_limits<uint8_t>::max();
      break;
    case RKNN_TENSOR_INT16:
      lowest = std::numeric_limits<int16_t>::min(), highest = std::numeric_limits<int16_t>::max();
      break;
    default:
      refuse_type(spec, attr);
  }
  const bool affine = attr.qnt_type == RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC;
  if (!affine || !(attr.scale > 0) || attr.zp < lowest || attr.zp > highest) refuse_type(spec, attr);
  side.codes = true;
  side.scale = attr.scale;
  side.zero_point = attr.zp;
}

}  // namespace

Side border_side(const TensorSpec& spec) {
  Side side;
  side.type = bits_of(spec.rknn_type);
  if (spec.dims.size() == 4) {
    const auto [n, c, h, w] = picture_of(spec);
    side.layout = spec.picture ? tensor::nhwc(n, c, h, w) : tensor::nchw(n, c, h, w);
  } else {
    side.layout = tensor::flat(elements_of(spec));
  }
  return side;
}

Side device_side(const TensorSpec& spec, const rknn_tensor_attr& attr) {
  Side side;
  side.layout = device_layout(spec, attr);
  side.type = bits_of(attr.type);
  if (spec.rknn_type != attr.type) {
    if (!is_real(spec.rknn_type) && !spec.picture) refuse_type(spec, attr);
    if (!is_real(attr.type)) set_codes(side, spec, attr);
  }
  if (tensor::bytes(side) > std::numeric_limits<uint32_t>::max()) refuse_layout(spec, attr);
  return side;
}

Side input_side(const TensorSpec& spec, const rknn_tensor_attr& attr, const rknn_input& input) {
  if (input.pass_through != 0) {
    const Side side = device_side(spec, attr);
    if (input.size >= tensor::bytes(side)) return side;
    throw Failure("input '" + spec.name + "' holds " + std::to_string(input.size) + " bytes, the device's own memory " +
                  std::to_string(tensor::bytes(side)));
  }
  Side side = border_side(spec);
  side.type = input.type;
  if (spec.dims.size() == 4 && (input.fmt == RKNN_TENSOR_NHWC || input.fmt == RKNN_TENSOR_NCHW)) {
    const auto [n, c, h, w] = picture_of(spec);
    side.layout = input.fmt == RKNN_TENSOR_NHWC ? tensor::nhwc(n, c, h, w) : tensor::nchw(n, c, h, w);
  }
  // As rknn_inputs_set: the device's own integer type means codes, others mean numbers.
  if (input.type == attr.type && spec.rknn_type != attr.type && !is_real(attr.type)) set_codes(side, spec, attr);
  const uint64_t needed = tensor::element_bytes(side.type) == 0 ? 0 : tensor::bytes(side);
  if (needed != 0 && input.size == needed) return side;
  throw Failure(
      "input '" + spec.name + "' holds " + std::to_string(input.size) + " bytes, " +
      (needed == 0 ? "in a type that is not converted" : "its type and shape need " + std::to_string(needed)));
}

}  // namespace rknn_ep
