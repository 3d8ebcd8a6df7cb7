#include "simulator/kernels/convolution.h"

#include <cmath>
#include <cstdlib>
#include <stdexcept>

namespace rknn_ep::simulator {
namespace {

int64_t extent(int64_t size, int64_t before, int64_t after, int64_t kernel, int64_t dilation, int64_t stride) {
  const int64_t room = size + before + after - (dilation * (kernel - 1) + 1);
  return room < 0 ? 0 : room / stride + 1;
}

// Whether every sum, rescaled, is a 32-bit integer: beyond, conversion from float32 does not saturate.
bool rescaled_fits(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                   const float* multipliers) {
  const int64_t depth = shape.height * shape.width * (shape.depthwise ? 1 : shape.channels);
  for (int64_t kernel = 0; kernel < shape.kernels; ++kernel, weights += depth) {
    double largest = std::abs(static_cast<double>(bias[kernel]));
    for (int64_t i = 0; i < depth; ++i) largest += 255 * std::abs(static_cast<int>(weights[i]));
    if (!(largest * std::abs(static_cast<double>(multipliers[kernel])) < 0x7FFFFF00)) return false;
  }
  return true;
}

}  // namespace

Picture Convolution::picture(int64_t height, int64_t width) const {
  const ConvolutionShape& shape = shape_;
  return {height, width, extent(height, shape.top, shape.bottom, shape.height, shape.dilation_y, shape.stride_y),
          extent(width, shape.left, shape.right, shape.width, shape.dilation_x, shape.stride_x)};
}

std::unique_ptr<Convolution> Convolution::make(const ConvolutionShape& shape, const int8_t* weights,
                                               const int32_t* bias, const float* multipliers) {
  if (!rescaled_fits(shape, weights, bias, multipliers)) throw std::invalid_argument("a scale is too large");
#if defined(__x86_64__)
  const auto make = shape.depthwise ? make_depthwise : winograd_fits(shape) ? make_winograd : make_dense;
  return make(shape, weights, bias, multipliers);
#else
  throw std::logic_error("these kernels are for x86-64");
#endif
}

}  // namespace rknn_ep::simulator
