// Every output channel reads every input channel: a product of matrices whose left one, the pixels' surroundings, is
// gathered and widened to 16 bits a panel at a time.
#include <algorithm>
#include <vector>

#include "simulator/kernels/convolution.h"
#include "simulator/kernels/products.h"

#if defined(__x86_64__)
namespace rknn_ep::simulator {
namespace {

constexpr int64_t kPanel = 54;  // pixels whose widened codes stay in the cache while all weights pass by

// Sixteen codes at a time, and so up to fifteen more than asked for: `words` has room for them, and where `codes` might
// not have, `end` says so.
RKNN_EP_AVX2 void widen(const uint8_t* codes, int64_t count, const uint8_t* end, int16_t* words) {
  int64_t i = 0;
  for (; i < count && end - (codes + i) >= 16; i += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + i), _mm256_cvtepu8_epi16(bytes));
  }
  for (; i < count; ++i) words[i] = codes[i];
}

struct Block {
  const int8_t* weights;  // [pairs][16 channels][2]
  const int32_t* bias;
  const float* multipliers;
  int64_t pairs;
};

template <int Rows>
RKNN_EP_AVX2 void multiply(const int16_t* words, int64_t stride, const Block& block, const Rescale& rescale,
                           uint8_t* output, int64_t output_stride, int64_t valid) {
  __m256i sums[Rows][2];
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) {
    sums[row][0] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.bias));
    sums[row][1] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(block.bias + 8));
  }
  add_products<Rows>(words, stride, block.weights, block.pairs, sums);
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row, output += output_stride) {
    rescale.store(sums[row][0], sums[row][1], block.multipliers, valid, output);
  }
}

using Multiply = void (*)(const int16_t*, int64_t, const Block&, const Rescale&, uint8_t*, int64_t, int64_t);
constexpr Multiply kMultiply[kTile + 1] = {nullptr,     multiply<1>, multiply<2>, multiply<3>,
                                           multiply<4>, multiply<5>, multiply<6>};

class Dense final : public Convolution {
 public:
  Dense(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias, const float* multipliers)
      : Convolution(shape),
        depth_(shape.height * shape.width * shape.channels),
        pairs_((depth_ + 1) / 2),
        blocks_((shape.kernels + kBlock - 1) / kBlock),
        weights_(static_cast<size_t>(blocks_ * pairs_ * 2 * kBlock)),
        bias_(static_cast<size_t>(blocks_ * kBlock)),
        multipliers_(bias_.size()),
        flat_(depth_ == shape.channels && depth_ % 2 == 0 && shape.stride_y == 1 && shape.stride_x == 1 &&
              !(shape.top || shape.left || shape.bottom || shape.right)) {
    const int64_t taps = shape.height * shape.width;
    for (int64_t kernel = 0; kernel < shape.kernels; ++kernel) {
      const int8_t* source = weights + kernel * depth_;
      const int64_t lane = interleaved(kernel % kBlock);
      int8_t* target = weights_.data() + kernel / kBlock * pairs_ * 2 * kBlock + lane * 2;
      int64_t total = 0;
      for (int64_t channel = 0; channel < shape.channels; ++channel) {
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int8_t weight = source[channel * taps + tap];
          const int64_t depth = tap * shape.channels + channel;
          target[depth / 2 * 2 * kBlock + depth % 2] = weight;
          total += weight;
        }
      }
      // Codes are multiplied as they are; what their zero point adds is known.
      const auto at = static_cast<size_t>(kernel / kBlock * kBlock + lane);
      bias_[at] = static_cast<int32_t>(bias[kernel] - total * shape.input_zero);
      multipliers_[at] = multipliers[kernel];
    }
  }

  size_t parts(const Picture& picture) const override {
    const int64_t pixels = picture.out_height * picture.out_width;
    return static_cast<size_t>((pixels + panel(pixels) - 1) / panel(pixels));
  }

  void run(const Picture& picture, size_t part, const uint8_t* input, uint8_t* output) const override {
    static thread_local std::vector<int16_t> words;
    const int64_t pixels = picture.out_height * picture.out_width;
    const int64_t begin = static_cast<int64_t>(part) * panel(pixels);
    const int64_t end = std::min(begin + panel(pixels), pixels);
    const int64_t stride = 2 * pairs_;
    const auto room = static_cast<size_t>((end - begin) * stride + 16);
    if (words.size() < room) words.resize(room);
    const uint8_t* const last = input + picture.height * picture.width * shape_.channels;
    if (flat_) {
      widen(input + begin * shape_.channels, (end - begin) * shape_.channels, last, words.data());
    } else {
      int64_t y = begin / picture.out_width, x = begin % picture.out_width;
      for (int64_t pixel = 0; pixel < end - begin; ++pixel) {
        gather(picture, y, x, input, last, words.data() + pixel * stride);
        if (++x == picture.out_width) x = 0, ++y;
      }
    }
    multiply_panel(words.data(), end - begin, output + begin * shape_.kernels);
  }

 private:
  RKNN_EP_AVX2 void multiply_panel(const int16_t* words, int64_t rows, uint8_t* output) const {
    const Rescale rescale(shape_.output_zero);
    const int64_t stride = 2 * pairs_;
    const int64_t tiles = (rows + kTile - 1) / kTile;
    for (int64_t block = 0; block < blocks_; ++block) {
      const Block weights{weights_.data() + block * pairs_ * 2 * kBlock, bias_.data() + block * kBlock,
                          multipliers_.data() + block * kBlock, pairs_};
      const int64_t valid = std::min(kBlock, shape_.kernels - block * kBlock);
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t first = rows * tile / tiles;
        const int64_t count = rows * (tile + 1) / tiles - first;
        kMultiply[count](words + first * stride, stride, weights, rescale,
                         output + first * shape_.kernels + block * kBlock, shape_.kernels, valid);
      }
    }
  }

  // Pixels of one part: whole tiles, and all where they are few.
  static int64_t panel(int64_t pixels) {
    const int64_t panels = (pixels + kPanel - 1) / kPanel;
    return ((pixels + panels - 1) / panels + kTile - 1) / kTile * kTile;
  }

  // The surroundings of one output pixel as 16-bit words: [height][width][channels].
  void gather(const Picture& picture, int64_t out_y, int64_t out_x, const uint8_t* input, const uint8_t* last,
              int16_t* words) const {
    const int64_t channels = shape_.channels;
    const int64_t y = out_y * shape_.stride_y - shape_.top;
    const int64_t x = out_x * shape_.stride_x - shape_.left;
    int16_t* target = words;
    for (int64_t row = 0; row < shape_.height; ++row) {
      const int64_t line = y + row * shape_.dilation_y;
      if (line < 0 || line >= picture.height) {
        target = fill(target, shape_.width * channels);
        continue;
      }
      const uint8_t* codes = input + line * picture.width * channels;
      if (shape_.dilation_x == 1) {
        const int64_t from = std::min(std::max<int64_t>(-x, 0), shape_.width);
        const int64_t to = std::max(std::min(picture.width - x, shape_.width), from);
        target = fill(target, from * channels);
        widen(codes + (x + from) * channels, (to - from) * channels, last, target);
        target = fill(target + (to - from) * channels, (shape_.width - to) * channels);
        continue;
      }
      for (int64_t column = 0; column < shape_.width; ++column) {
        const int64_t at = x + column * shape_.dilation_x;
        if (at < 0 || at >= picture.width) {
          target = fill(target, channels);
        } else {
          widen(codes + at * channels, channels, last, target);
          target += channels;
        }
      }
    }
    if (depth_ % 2) *target = 0;
  }

  int16_t* fill(int16_t* words, int64_t count) const {
    return std::fill_n(words, count, static_cast<int16_t>(shape_.input_zero));
  }

  const int64_t depth_, pairs_, blocks_;
  std::vector<int8_t> weights_;  // [blocks][pairs][16][2]
  std::vector<int32_t> bias_;
  std::vector<float> multipliers_;
  const bool flat_;  // the surroundings of pixels are the pixels themselves, one after another
};

}  // namespace

std::unique_ptr<Convolution> make_dense(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                        const float* multipliers) {
  return std::make_unique<Dense>(shape, weights, bias, multipliers);
}

}  // namespace rknn_ep::simulator
#endif
