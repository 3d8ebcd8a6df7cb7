// One kernel a channel: sixteen channels at a time. Lines of codes are widened to 16 bits and interleaved in twos, the
// first with the second, the third with the fourth: one instruction then multiplies two taps of eight channels, one
// below the other. Kernels that begin on the second line of such a pair have a zero before their first weight.
#include <algorithm>
#include <array>
#include <vector>

#include "simulator/kernels/aligned.h"
#include "simulator/kernels/convolution.h"
#include "simulator/kernels/products.h"

#if defined(__x86_64__)
namespace rknn_ep::simulator {
namespace {

constexpr int64_t kRows = 8;            // output rows in one part of the work
constexpr int64_t kGroup = 4;           // blocks that share the lines of the cache that the codes are in
constexpr int kNeighbours = 4;          // output pixels at a time
constexpr int64_t kPixel = 2 * kBlock;  // words of a pixel in a pair of lines: [16 channels][2 lines]

// What the output pixels of a line have in common.
struct Taps {
  const int16_t* weights;  // [pairs of lines][width][16 channels][2 lines]
  const int32_t* bias;
  const float* multipliers;
  const int64_t* lines;  // where each pair of lines begins, in words
  int64_t pairs;
  int64_t width;
  int64_t column;         // words from tap to tap
  int64_t stride;         // words from output pixel to output pixel
  int64_t output_stride;  // codes from output pixel to output pixel
  int64_t valid;          // channels that there are
  uint8_t output_zero;
};

// Adds what one pair of lines gives to `Pixels` neighbours: what a column holds is read once for all that need it.
template <int Width, int Stride, int Pixels>
RKNN_EP_AVX2_INLINE void add_line(const int16_t* words, const int16_t* weights, __m256i (&sums)[Pixels][2]) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    __m256i held[Width];
#pragma GCC unroll 8
    for (int x = 0; x < Width; ++x) held[x] = load_weights(weights + x * kPixel + half * kBlock);
#pragma GCC unroll 16
    for (int column = 0; column < (Pixels - 1) * Stride + Width; ++column) {
      const __m256i codes = load_weights(words + column * kPixel + half * kBlock);
#pragma GCC unroll 8
      for (int pixel = 0; pixel < Pixels; ++pixel) {
        const int x = column - pixel * Stride;
        if (x < 0 || x >= Width) continue;
        sums[pixel][half] = _mm256_add_epi32(sums[pixel][half], _mm256_madd_epi16(codes, held[x]));
      }
    }
  }
}

// The same for kernels of any width, stride and dilation.
template <int Pixels>
RKNN_EP_AVX2_INLINE void add_any_line(const int16_t* words, const int16_t* weights, const Taps& taps,
                                      __m256i (&sums)[Pixels][2]) {
  for (int64_t x = 0; x < taps.width; ++x, words += taps.column, weights += kPixel) {
    const __m256i first = load_weights(weights), second = load_weights(weights + kBlock);
#pragma GCC unroll 8
    for (int pixel = 0; pixel < Pixels; ++pixel) {
      const int16_t* codes = words + pixel * taps.stride;
      sums[pixel][0] = _mm256_add_epi32(sums[pixel][0], _mm256_madd_epi16(first, load_weights(codes)));
      sums[pixel][1] = _mm256_add_epi32(sums[pixel][1], _mm256_madd_epi16(second, load_weights(codes + kBlock)));
    }
  }
}

template <int Width, int Stride, int Pixels>
RKNN_EP_AVX2 void multiply(const int16_t* words, int64_t tiles, const Taps& original, uint8_t* output) {
  const Taps taps = original;  // for all the compiler knows, storing codes could change the original
  const Rescale rescale(taps.output_zero);
  for (; tiles > 0; --tiles, words += Pixels * taps.stride) {
    __m256i sums[Pixels][2];
    start(sums, taps.bias);
    const int16_t* weights = taps.weights;
    for (int64_t pair = 0; pair < taps.pairs; ++pair) {
      const int16_t* const line = words + taps.lines[pair];
      if constexpr (Width > 0) {
        add_line<Width, Stride>(line, weights, sums);
      } else {
        add_any_line(line, weights, taps, sums);
      }
      weights += taps.width * kPixel;
    }
#pragma GCC unroll 8
    for (int pixel = 0; pixel < Pixels; ++pixel, output += taps.output_stride) {
      rescale.store(sums[pixel], taps.multipliers, taps.valid, output);
    }
  }
}

using Multiply = void (*)(const int16_t*, int64_t, const Taps&, uint8_t*);

template <int Width, int Stride>
constexpr Multiply kMultiply[kNeighbours + 1] = {nullptr, multiply<Width, Stride, 1>, multiply<Width, Stride, 2>,
                                                 multiply<Width, Stride, 3>, multiply<Width, Stride, 4>};

const Multiply* multiply_for(const ConvolutionShape& shape) {
  if (shape.dilation_x != 1 || shape.stride_x > 2) return kMultiply<0, 0>;
  if (shape.width == 3) return shape.stride_x == 1 ? kMultiply<3, 1> : kMultiply<3, 2>;
  if (shape.width == 5) return shape.stride_x == 1 ? kMultiply<5, 1> : kMultiply<5, 2>;
  return kMultiply<0, 0>;
}

class Depthwise final : public Convolution {
 public:
  Depthwise(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias, const float* multipliers)
      : Convolution(shape), multiply_(multiply_for(shape)), padding_(kBlock, shape.input_zero) {
    // The last block ends with the last channel; it may compute some channels once more.
    for (int64_t first = 0; first < shape.channels; first += kBlock) {
      starts_.push_back(std::max<int64_t>(0, std::min(first, shape.channels - kBlock)));
    }
    for (int64_t odd = 0; odd < 2; ++odd) arrange(weights, odd);
    bias_.resize(starts_.size() * kBlock);
    multipliers_.resize(bias_.size());
    const int64_t taps = shape.height * shape.width;
    for (size_t block = 0; block < starts_.size(); ++block) {
      for (int64_t lane = 0; lane < valid(); ++lane) {
        const int64_t channel = starts_[block] + lane;
        int64_t total = 0;
        for (int64_t tap = 0; tap < taps; ++tap) total += weights[channel * taps + tap];
        const size_t at = block * kBlock + static_cast<size_t>(interleaved(lane));
        // Codes are multiplied as they are; what their zero point adds is known.
        bias_[at] = static_cast<int32_t>(bias[channel] - total * shape.input_zero);
        multipliers_[at] = multipliers[channel];
      }
    }
  }

  size_t parts(const Picture& picture) const override {
    return static_cast<size_t>((picture.out_height + kRows - 1) / kRows);
  }

  void run(const Picture& picture, size_t part, const uint8_t* input, uint8_t* output) const override {
    static thread_local AlignedVector<int16_t> words;  // [pairs of lines][columns][16 channels][2 lines]
    static thread_local std::vector<int64_t> lines;
    const int64_t begin = static_cast<int64_t>(part) * kRows;
    const int64_t end = std::min(begin + kRows, picture.out_height);
    // Lines and columns are counted from the padding's first.
    const int64_t columns = (picture.out_width - 1) * shape_.stride_x + (shape_.width - 1) * shape_.dilation_x + 1;
    const int64_t reach = (shape_.height - 1) * shape_.dilation_y;
    const int64_t ring = (reach + 1) / 2 + 1;  // pairs of lines that an output line may read
    const int64_t length = columns * kPixel;
    if (const auto room = static_cast<size_t>(ring * kGroup * length); words.size() < room) words.resize(room);
    const Tiles tiles(picture.out_width, kNeighbours);
    const auto blocks = static_cast<int64_t>(starts_.size());
    for (int64_t group = 0; group < blocks; group += kGroup) {
      const int64_t count = std::min(kGroup, blocks - group);
      int64_t next = begin * shape_.stride_y / 2;
      for (int64_t y = begin; y < end; ++y) {
        const int64_t top = y * shape_.stride_y;
        for (; next <= (top + reach) / 2; ++next) {
          for (int64_t block = group; block < group + count; ++block) {
            interleave(picture, next, columns, input + starts_[static_cast<size_t>(block)],
                       words.data() + (next % ring * kGroup + block - group) * length);
          }
        }
        const Half& half = halves_[static_cast<size_t>(top % 2)];
        lines.clear();
        for (const int64_t pair : half.pairs) lines.push_back((top / 2 + pair) % ring * kGroup * length);
        const auto size = static_cast<int64_t>(half.pairs.size()) * shape_.width * kPixel;
        for (int64_t block = group; block < group + count; ++block) {
          const Taps taps{half.weights.data() + block * size,
                          bias_.data() + block * kBlock,
                          multipliers_.data() + block * kBlock,
                          lines.data(),
                          static_cast<int64_t>(lines.size()),
                          shape_.width,
                          shape_.dilation_x * kPixel,
                          shape_.stride_x * kPixel,
                          shape_.channels,
                          valid(),
                          shape_.output_zero};
          const int16_t* const from = words.data() + (block - group) * length;
          uint8_t* const to = output + y * picture.out_width * shape_.channels + starts_[static_cast<size_t>(block)];
          tiles.each([&](int64_t x, int64_t size, int64_t count) {
            multiply_[size](from + x * taps.stride, count, taps, to + x * shape_.channels);
          });
        }
      }
    }
  }

 private:
  // The kernels as they stand on pairs of lines, beginning on the first line of one or on the second.
  struct Half {
    std::vector<int64_t> pairs;      // that hold taps
    AlignedVector<int16_t> weights;  // [blocks][pairs][width][16 channels][2 lines]
  };

  int64_t valid() const { return std::min(shape_.channels, kBlock); }

  void arrange(const int8_t* weights, int64_t odd) {
    Half& half = halves_[static_cast<size_t>(odd)];
    for (int64_t row = 0; row < shape_.height; ++row) {
      const int64_t pair = (odd + row * shape_.dilation_y) / 2;
      if (half.pairs.empty() || half.pairs.back() != pair) half.pairs.push_back(pair);
    }
    const auto pairs = static_cast<int64_t>(half.pairs.size());
    half.weights.resize(starts_.size() * static_cast<size_t>(pairs * shape_.width * kPixel));
    for (size_t block = 0; block < starts_.size(); ++block) {
      int64_t at = static_cast<int64_t>(block) * pairs - 1;
      for (int64_t row = 0, before = -1; row < shape_.height; ++row) {
        const int64_t line = odd + row * shape_.dilation_y;
        if (line / 2 != before) before = line / 2, ++at;
        for (int64_t x = 0; x < shape_.width; ++x) {
          for (int64_t lane = 0; lane < valid(); ++lane) {
            half.weights[static_cast<size_t>((at * shape_.width + x) * kPixel + interleaved(lane) * 2 + line % 2)] =
                weights[((starts_[block] + lane) * shape_.height + row) * shape_.width + x];
          }
        }
      }
    }
  }

  // Two lines of a block of channels, with their padding.
  RKNN_EP_AVX2 void interleave(const Picture& picture, int64_t pair, int64_t columns, const uint8_t* input,
                               int16_t* words) const {
    const auto inside = [&](int64_t line) { return line >= 0 && line < picture.height; };
    const auto begin = [&](int64_t line) {
      return inside(line) ? input + line * picture.width * shape_.channels : padding_.data();
    };
    const int64_t line = 2 * pair - shape_.top;
    const uint8_t *upper = begin(line), *lower = begin(line + 1);
    const int64_t upper_step = inside(line) ? shape_.channels : 0;
    const int64_t lower_step = inside(line + 1) ? shape_.channels : 0;
    const int64_t from = std::min(shape_.left, columns), to = std::min(shape_.left + picture.width, columns);
    std::fill(words, words + from * kPixel, static_cast<int16_t>(shape_.input_zero));
    std::fill(words + to * kPixel, words + columns * kPixel, static_cast<int16_t>(shape_.input_zero));
    const bool whole = shape_.channels >= kBlock;
    const int64_t ahead = 2 * picture.width * shape_.channels;
    int16_t* const end = words + to * kPixel;
    for (words += from * kPixel; words < end; words += kPixel, upper += upper_step, lower += lower_step) {
      if (whole) {
        // Of what comes next no more than a few codes in each line are read, which the processor does not foresee.
        _mm_prefetch(reinterpret_cast<const char*>(upper + ahead), _MM_HINT_T0);
        _mm_prefetch(reinterpret_cast<const char*>(lower + ahead), _MM_HINT_T0);
        const __m256i first = widen(upper), second = widen(lower);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm256_unpacklo_epi16(first, second));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + kBlock), _mm256_unpackhi_epi16(first, second));
      } else {
        for (int64_t lane = 0; lane < shape_.channels; ++lane) {
          words[2 * interleaved(lane)] = upper[lane];
          words[2 * interleaved(lane) + 1] = lower[lane];
        }
      }
    }
  }

  const Multiply* const multiply_;  // for one to kNeighbours pixels
  const std::vector<uint8_t> padding_;
  std::vector<int64_t> starts_;
  std::array<Half, 2> halves_;
  AlignedVector<int32_t> bias_;
  AlignedVector<float> multipliers_;
};

}  // namespace

std::unique_ptr<Convolution> make_depthwise(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                            const float* multipliers) {
  return std::make_unique<Depthwise>(shape, weights, bias, multipliers);
}

}  // namespace rknn_ep::simulator
#endif
