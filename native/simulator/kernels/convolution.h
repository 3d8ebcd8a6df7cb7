// Convolutions of uint8 codes by int8 weights, NHWC, summed exactly in 32 bits and rescaled once in float32.
//
// x64 processors with AVX2 but without VNNI have one instruction for pairs of u8 by s8 products; it saturates at 16
// bits. These kernels widen the codes of a few pixels to 16 bits once and multiply pairs of those with every block of
// output channels: twice the products per instruction of float32, and nothing is lost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace rknn_ep::simulator {

struct ConvolutionShape {
  int64_t channels = 0;  // of the input
  int64_t kernels = 0;   // channels of the output
  int64_t height = 1, width = 1;
  int64_t stride_y = 1, stride_x = 1;
  int64_t dilation_y = 1, dilation_x = 1;
  int64_t top = 0, left = 0, bottom = 0, right = 0;  // padding, with codes that mean 0
  bool depthwise = false;                            // one kernel a channel; else every kernel reads every channel
  uint8_t input_zero = 0;
  uint8_t output_zero = 0;
};

// One picture to work on.
struct Picture {
  int64_t height = 0, width = 0;  // of the input
  int64_t out_height = 0, out_width = 0;
};

class Convolution {
 public:
  // weights: [kernels][channels, or 1 if depthwise][height][width]; bias, multipliers: [kernels]. Throws
  // std::invalid_argument where a sum times its multiplier might not be a 32-bit integer.
  static std::unique_ptr<Convolution> make(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                           const float* multipliers);
  virtual ~Convolution() = default;

  // The output's size; zero or negative where the kernel does not fit into the picture.
  Picture picture(int64_t height, int64_t width) const;
  // Into how many independent parts the work on one picture falls.
  virtual size_t parts(const Picture& picture) const = 0;
  virtual void run(const Picture& picture, size_t part, const uint8_t* input, uint8_t* output) const = 0;

 protected:
  explicit Convolution(const ConvolutionShape& shape) : shape_(shape) {}
  const ConvolutionShape shape_;
};

std::unique_ptr<Convolution> make_dense(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                        const float* multipliers);
// Whether make_winograd computes this convolution, with the same result, in less time.
bool winograd_fits(const ConvolutionShape& shape);
std::unique_ptr<Convolution> make_winograd(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                           const float* multipliers);
std::unique_ptr<Convolution> make_depthwise(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                            const float* multipliers);

}  // namespace rknn_ep::simulator
