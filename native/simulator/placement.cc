#include "simulator/placement.h"

#include <algorithm>

#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

constexpr double kLargest = 4.0 * 1024 * 1024 * 1024;  // elements: sizes are 32 bits in rknn_api
constexpr uint32_t kWidestBlock = 256;

tensor::Layout layout(const Tensor& tensor, int format, const Wish& wish, uint32_t block) {
  if (!tensor.is_image()) return tensor::flat(tensor.elements);
  const auto dim = [&](size_t i) { return static_cast<uint64_t>(tensor.dims[i]); };
  const uint64_t n = dim(0), c = dim(1), h = dim(2), w = dim(3);
  if (format == RKNN_TENSOR_NHWC) return tensor::nhwc(n, c, h, w, wish.width_stride, wish.height_stride);
  if (format == RKNN_TENSOR_NC1HWC2) {
    return tensor::nc1hwc2(n, c, h, w, block, wish.width_stride, wish.height_stride);
  }
  return tensor::nchw(n, c, h, w, wish.width_stride, wish.height_stride);
}

}  // namespace

tensor::Side placement(const Tensor& tensor, const Soc& soc, const Wish& wish, bool is_input) {
  const int code = is_input ? RKNN_ERR_INPUT_INVALID : RKNN_ERR_OUTPUT_INVALID;
  const std::string name = "'" + tensor.name + "'";
  int format = wish.format;
  tensor::Side side;
  side.type = static_cast<rknn_tensor_type>(wish.type);
  if (wish.pass_through) {
    side.type = tensor.device_type;
    format = attributes(tensor, 0, is_input, AttributeKind::kNative, soc).fmt;
  } else if (wish.type < 0 || wish.type >= RKNN_TENSOR_TYPE_MAX || element_bytes(side.type) == 0) {
    throw Failure(code, name + ": rknn_tensor_type " + std::to_string(wish.type) + " is not one that can be converted");
  }
  if (tensor.is_image() && (format < 0 || format > RKNN_TENSOR_NC1HWC2)) {
    throw Failure(code, name + " has four dimensions: fmt must be RKNN_TENSOR_NCHW, RKNN_TENSOR_NHWC or " +
                            "RKNN_TENSOR_NC1HWC2, not " + std::to_string(format));
  }
  const uint32_t block = wish.channel_block ? wish.channel_block : soc.channel_block(element_bytes(side.type));
  if (tensor.is_image()) {
    const double rows = std::max<double>(wish.height_stride, static_cast<double>(tensor.dims[2]));
    const double columns = std::max<double>(wish.width_stride, static_cast<double>(tensor.dims[3]));
    const double channels = static_cast<double>(tensor.dims[1]) + block;
    if (block > kWidestBlock || rows * columns * channels * static_cast<double>(tensor.dims[0]) > kLargest) {
      throw Failure(code, name + ": strides of " + std::to_string(wish.width_stride) + " by " +
                              std::to_string(wish.height_stride) + " or blocks of " + std::to_string(block) +
                              " channels make more than rknn_api can count");
    }
  }
  side.layout = layout(tensor, format, wish, block);
  side.codes = tensor.quantized() && side.type == tensor.device_type;
  side.scale = tensor.scale;
  side.zero_point = tensor.zero_point;
  return side;
}

tensor::Side session_side(const Tensor& tensor) {
  tensor::Side side;
  side.type = tensor.session_type;
  side.layout = layout(tensor, RKNN_TENSOR_NCHW, {}, 1);
  return side;
}

}  // namespace rknn_ep::simulator
