// Every output channel reads every input channel: a product of matrices whose left one, the pixels' surroundings, is
// gathered and widened to 16 bits a panel at a time.
#include <algorithm>
#include <vector>

#include "simulator/kernels/aligned.h"
#include "simulator/kernels/convolution.h"
#include "simulator/kernels/products.h"

#if defined(__x86_64__)
namespace rknn_ep::simulator {
namespace {

constexpr int64_t kPanel = 54;  // pixels whose widened codes stay in the cache while all weights pass by

// Sixteen codes at a time, and so up to fifteen more than asked for: `words` has room for them, and so must `codes`.
RKNN_EP_AVX2_INLINE void widen_all(const uint8_t* codes, int64_t count, int16_t* words) {
  for (int64_t i = 0; i < count; i += kBlock) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + i), widen(codes + i));
  }
}

// The same where the codes may end with the last one asked for.
RKNN_EP_AVX2 void widen_last(const uint8_t* codes, int64_t count, int16_t* words) {
  const int64_t whole = count / kBlock * kBlock;
  widen_all(codes, whole, words);
  std::copy(codes + whole, codes + count, words + whole);
}

struct Block {
  const int8_t* weights;  // [pairs][16 channels, or 8 in half a block][2]
  const int32_t* bias;
  const float* multipliers;
  int64_t pairs;
  int64_t valid;          // channels that there are
  int64_t output_stride;  // from pixel to pixel
  uint8_t output_zero;
};

template <int Rows, int Registers>
RKNN_EP_AVX2 void multiply(const int16_t* words, int64_t tiles, const Block& original, uint8_t* output) {
  const Block block = original;  // for all the compiler knows, storing codes could change the original
  const Rescale rescale(block.output_zero);
  for (; tiles > 0; --tiles, words += Rows * 2 * block.pairs) {
    __m256i sums[Rows][Registers];
    start(sums, block.bias);
    add_products(words, 2 * block.pairs, block.weights, block.pairs, sums);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row, output += block.output_stride) {
      rescale.store(sums[row], block.multipliers, block.valid, output);
    }
  }
}

using Multiply = void (*)(const int16_t*, int64_t, const Block&, uint8_t*);
template <int Registers>
constexpr Multiply kMultiply[kTile + 1] = {nullptr,
                                           multiply<1, Registers>,
                                           multiply<2, Registers>,
                                           multiply<3, Registers>,
                                           multiply<4, Registers>,
                                           multiply<5, Registers>,
                                           multiply<6, Registers>};

class Dense final : public Convolution {
 public:
  Dense(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias, const float* multipliers)
      : Convolution(shape),
        depth_(shape.height * shape.width * shape.channels),
        pairs_((depth_ + 1) / 2),
        weights_(static_cast<size_t>((shape.kernels + kBlock - 1) / kBlock * pairs_ * 2 * kBlock)),
        bias_(weights_.size() / static_cast<size_t>(2 * pairs_)),
        multipliers_(bias_.size()),
        dilated_(shape.dilation_y != 1 || shape.dilation_x != 1),
        flat_(depth_ == shape.channels && depth_ % 2 == 0 && shape.stride_y == 1 && shape.stride_x == 1 &&
              !(shape.top || shape.left || shape.bottom || shape.right)) {
    const int64_t taps = shape.height * shape.width;
    for (int64_t kernel = 0; kernel < shape.kernels; ++kernel) {
      const int8_t* source = weights + kernel * depth_;
      const int64_t first = kernel / kBlock * kBlock, width = this->width(first);
      const int64_t lane = width == kBlock ? interleaved(kernel - first) : kernel - first;
      int8_t* target = weights_.data() + (first * pairs_ + lane) * 2;
      int64_t total = 0;
      for (int64_t channel = 0; channel < shape.channels; ++channel) {
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int8_t weight = source[channel * taps + tap];
          const int64_t depth = tap * shape.channels + channel;
          target[depth / 2 * 2 * width + depth % 2] = weight;
          total += weight;
        }
      }
      // Codes are multiplied as they are; what their zero point adds is known.
      const auto at = static_cast<size_t>(first + lane);
      bias_[at] = static_cast<int32_t>(bias[kernel] - total * shape.input_zero);
      multipliers_[at] = multipliers[kernel];
    }
  }

  size_t parts(const Picture& picture) const override {
    const int64_t pixels = picture.out_height * picture.out_width;
    return static_cast<size_t>((pixels + panel(pixels) - 1) / panel(pixels));
  }

  void run(const Picture& picture, size_t part, const uint8_t* input, uint8_t* output) const override {
    static thread_local AlignedVector<int16_t> words;
    const int64_t pixels = picture.out_height * picture.out_width;
    const int64_t begin = static_cast<int64_t>(part) * panel(pixels);
    const int64_t end = std::min(begin + panel(pixels), pixels);
    const auto room = static_cast<size_t>((end - begin) * 2 * pairs_ + kBlock);
    if (words.size() < room) words.resize(room);
    if (flat_) {
      widen_last(input + begin * shape_.channels, (end - begin) * shape_.channels, words.data());
    } else {
      gather(picture, begin, end, input, words.data());
    }
    multiply_panel(words.data(), end - begin, output + begin * shape_.kernels);
  }

 private:
  void multiply_panel(const int16_t* words, int64_t rows, uint8_t* output) const {
    const Tiles tiles(rows, kTile);
    for (int64_t first = 0; first < shape_.kernels; first += kBlock) {
      const Block block{
          weights_.data() + first * pairs_ * 2,     bias_.data() + first, multipliers_.data() + first, pairs_,
          std::min(kBlock, shape_.kernels - first), shape_.kernels,       shape_.output_zero};
      const Multiply* const multiply = width(first) == kBlock ? kMultiply<2> : kMultiply<1>;
      tiles.each([&](int64_t row, int64_t size, int64_t count) {
        multiply[size](words + row * 2 * pairs_, count, block, output + row * shape_.kernels + first);
      });
    }
  }

  // Of the block that begins with this channel: the last one may be half a block.
  int64_t width(int64_t first) const { return shape_.kernels - first <= kBlock / 2 ? kBlock / 2 : kBlock; }

  // Pixels of one part: whole tiles, and all where they are few.
  static int64_t panel(int64_t pixels) {
    const int64_t panels = (pixels + kPanel - 1) / kPanel;
    return ((pixels + panels - 1) / panels + kTile - 1) / kTile * kTile;
  }

  // The surroundings of output pixels as 16-bit words: [pixel][height][width][channels].
  RKNN_EP_AVX2 void gather(const Picture& picture, int64_t begin, int64_t end, const uint8_t* input,
                           int16_t* words) const {
    const int64_t line = picture.width * shape_.channels, run = shape_.width * shape_.channels;
    // What begins no later than here may be read a block at a time.
    const int64_t room = picture.height * line - (shape_.height - 1) * line - (run + kBlock);
    int64_t y = begin / picture.out_width, x = begin % picture.out_width;
    for (int64_t pixel = begin; pixel < end; ++pixel, words += 2 * pairs_) {
      const int64_t top = y * shape_.stride_y - shape_.top, left = x * shape_.stride_x - shape_.left;
      const int64_t first = top * line + left * shape_.channels;
      const bool inside =
          top >= 0 && top + shape_.height <= picture.height && left >= 0 && left + shape_.width <= picture.width;
      if (inside && !dilated_ && first <= room) {
        for (int64_t row = 0; row < shape_.height; ++row) {
          widen_all(input + first + row * line, run, words + row * run);
        }
      } else {
        gather_at_border(picture, top, left, input, words);
      }
      if (depth_ % 2) words[depth_] = 0;
      if (++x == picture.out_width) x = 0, ++y;
    }
  }

  void gather_at_border(const Picture& picture, int64_t top, int64_t left, const uint8_t* input, int16_t* words) const {
    const int64_t channels = shape_.channels;
    for (int64_t row = 0; row < shape_.height; ++row) {
      const int64_t y = top + row * shape_.dilation_y;
      for (int64_t column = 0; column < shape_.width; ++column, words += channels) {
        const int64_t x = left + column * shape_.dilation_x;
        if (y < 0 || y >= picture.height || x < 0 || x >= picture.width) {
          std::fill_n(words, channels, static_cast<int16_t>(shape_.input_zero));
        } else {
          widen_last(input + (y * picture.width + x) * channels, channels, words);
        }
      }
    }
  }

  const int64_t depth_, pairs_;
  AlignedVector<int8_t> weights_;  // [blocks][pairs][16][2], half a block [pairs][8][2]
  AlignedVector<int32_t> bias_;
  AlignedVector<float> multipliers_;
  const bool dilated_;
  const bool flat_;  // the surroundings of pixels are the pixels themselves, one after another
};

}  // namespace

std::unique_ptr<Convolution> make_dense(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                        const float* multipliers) {
  return std::make_unique<Dense>(shape, weights, bias, multipliers);
}

}  // namespace rknn_ep::simulator
#endif
