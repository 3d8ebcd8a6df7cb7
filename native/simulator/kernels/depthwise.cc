// One kernel a channel: sixteen channels at a time, and of their taps two at a time.
#include <algorithm>
#include <cstring>
#include <vector>

#include "simulator/kernels/convolution.h"
#include "simulator/kernels/rescale.h"

#if defined(__x86_64__)
namespace rknn_ep::simulator {
namespace {

constexpr int64_t kRows = 8;  // output rows in one part of the work

class Depthwise final : public Convolution {
 public:
  Depthwise(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias, const float* multipliers)
      : Convolution(shape),
        taps_(shape.height * shape.width),
        pairs_((taps_ + 1) / 2),
        padding_(room(), shape.input_zero) {
    // The last block ends with the last channel; it may compute some channels once more.
    for (int64_t first = 0; first < shape.channels; first += kBlock) {
      starts_.push_back(std::max<int64_t>(0, std::min(first, shape.channels - kBlock)));
    }
    weights_.resize(starts_.size() * static_cast<size_t>(pairs_ * 2 * kBlock));
    bias_.resize(starts_.size() * kBlock);
    multipliers_.resize(bias_.size());
    for (size_t block = 0; block < starts_.size(); ++block) {
      for (int64_t lane = 0; lane < kBlock && starts_[block] + lane < shape.channels; ++lane) {
        const int64_t channel = starts_[block] + lane;
        int64_t total = 0;
        for (int64_t tap = 0; tap < taps_; ++tap) {
          const int8_t weight = weights[channel * taps_ + tap];
          weights_[block * static_cast<size_t>(pairs_ * 2 * kBlock) + place(lane, tap)] = weight;
          total += weight;
        }
        const size_t at = block * kBlock + static_cast<size_t>(interleaved(lane));
        bias_[at] = static_cast<int32_t>(bias[channel] - total * shape.input_zero);
        multipliers_[at] = multipliers[channel];
      }
    }
  }

  size_t parts(const Picture& picture) const override {
    return static_cast<size_t>((picture.out_height + kRows - 1) / kRows);
  }

  void run(const Picture& picture, size_t part, const uint8_t* input, uint8_t* output) const override {
    const int64_t begin = static_cast<int64_t>(part) * kRows;
    const int64_t end = std::min(begin + kRows, picture.out_height);
    const Line line = shape_.height == 3 && shape_.width == 3   ? &Depthwise::line<3>
                      : shape_.height == 5 && shape_.width == 5 ? &Depthwise::line<5>
                                                                : &Depthwise::line<0>;
    for (int64_t y = begin; y < end; ++y) (this->*line)(picture, y, input, output);
  }

 private:
  using Line = void (Depthwise::*)(const Picture&, int64_t, const uint8_t*, uint8_t*) const;

  // A line of taps outside the picture, whichever block of channels reads it.
  size_t room() const {
    return static_cast<size_t>((shape_.width - 1) * shape_.dilation_x * shape_.channels +
                               std::max(shape_.channels, kBlock));
  }

  size_t place(int64_t lane, int64_t tap) const {
    return static_cast<size_t>(tap / 2 * 2 * kBlock + interleaved(lane) * 2 + tap % 2);
  }

  // The taps of one output pixel.
  void find_taps(const Picture& picture, int64_t y, int64_t x, const uint8_t* input, const uint8_t** taps) const {
    const uint8_t** next = taps;
    for (int64_t row = 0; row < shape_.height; ++row) {
      const int64_t line = y * shape_.stride_y - shape_.top + row * shape_.dilation_y;
      const bool outside = line < 0 || line >= picture.height;
      for (int64_t column = 0; column < shape_.width; ++column) {
        const int64_t at = x * shape_.stride_x - shape_.left + column * shape_.dilation_x;
        *next++ = outside || at < 0 || at >= picture.width ? padding_.data()
                                                           : input + (line * picture.width + at) * shape_.channels;
      }
    }
    if (taps_ % 2) *next = padding_.data();
  }

  // One line of the output. Kernels of Size x Size, where that is not 0, are unrolled in the middle, where no tap is
  // left or right of the picture: there a line of taps moves on by the same step everywhere.
  template <int Size>
  RKNN_EP_AVX2 void line(const Picture& picture, int64_t y, const uint8_t* input, uint8_t* output) const {
    output += y * picture.out_width * shape_.channels;
    int64_t from = picture.out_width, to = picture.out_width;
    if constexpr (Size > 0) {
      if (shape_.channels >= kBlock) {
        const int64_t reach = (shape_.width - 1) * shape_.dilation_x;
        from = std::min((shape_.left + shape_.stride_x - 1) / shape_.stride_x, picture.out_width);
        const int64_t room = picture.width - 1 - reach + shape_.left;
        to = room < 0 ? from : std::max(from, std::min(room / shape_.stride_x + 1, picture.out_width));
        if (to > from) middle<Size>(picture, y, from, to, input, output);
      }
    }
    const Rescale rescale(shape_.output_zero);
    std::vector<const uint8_t*> taps(static_cast<size_t>(2 * pairs_));
    for (int64_t x = 0; x < picture.out_width; ++x) {
      if (x == from) x = to;
      if (x >= picture.out_width) break;
      find_taps(picture, y, x, input, taps.data());
      for (size_t block = 0; block < starts_.size(); ++block) {
        pixel(taps.data(), block, rescale, output + x * shape_.channels);
      }
    }
  }

  template <int Size>
  RKNN_EP_AVX2 void middle(const Picture& picture, int64_t y, int64_t from, int64_t to, const uint8_t* input,
                           uint8_t* output) const {
    constexpr int kTaps = Size * Size, kPairs = (kTaps + 1) / 2;
    const Rescale rescale(shape_.output_zero);
    const int64_t channels = shape_.channels;
    const int64_t column = shape_.dilation_x * channels;
    for (size_t block = 0; block < starts_.size(); ++block) {
      const int64_t start = starts_[block];
      const uint8_t* lines[Size];
      int64_t steps[Size];
      for (int row = 0; row < Size; ++row) {
        const int64_t line = y * shape_.stride_y - shape_.top + row * shape_.dilation_y;
        const bool outside = line < 0 || line >= picture.height;
        steps[row] = outside ? 0 : shape_.stride_x * channels;
        lines[row] = outside ? padding_.data()
                             : input + (line * picture.width + from * shape_.stride_x - shape_.left) * channels + start;
      }
      const int16_t* weights = weights_.data() + block * static_cast<size_t>(pairs_ * 2 * kBlock);
      const int32_t* bias = bias_.data() + block * kBlock;
      const float* multipliers = multipliers_.data() + block * kBlock;
      const __m256i low_bias = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias));
      const __m256i high_bias = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias + 8));
      for (int64_t x = from; x < to; ++x) {
        __m256i low = low_bias, high = high_bias;
#pragma GCC unroll 16
        for (int pair = 0; pair < kPairs; ++pair) {
          const int tap = 2 * pair, next = 2 * pair + 1;
          const __m256i first = wide(lines[tap / Size] + tap % Size * column);
          const __m256i second =
              next < kTaps ? wide(lines[next / Size] + next % Size * column) : _mm256_setzero_si256();
          add_pair(first, second, weights + pair * 2 * kBlock, low, high);
        }
        rescale.store(low, high, multipliers, kBlock, output + x * channels + start);
#pragma GCC unroll 8
        for (int row = 0; row < Size; ++row) lines[row] += steps[row];
      }
    }
  }

  RKNN_EP_AVX2 void pixel(const uint8_t* const* taps, size_t block, const Rescale& rescale, uint8_t* output) const {
    const int64_t small = shape_.channels < kBlock ? shape_.channels : 0;
    const int64_t start = starts_[block];
    const int16_t* weights = weights_.data() + block * static_cast<size_t>(pairs_ * 2 * kBlock);
    const int32_t* bias = bias_.data() + block * kBlock;
    __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias));
    __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias + 8));
    for (int64_t pair = 0; pair < pairs_; ++pair) {
      add_pair(codes(taps[2 * pair] + start, small), codes(taps[2 * pair + 1] + start, small),
               weights + pair * 2 * kBlock, low, high);
    }
    rescale.store(low, high, multipliers_.data() + block * kBlock, small ? small : kBlock, output + start);
  }

  // Adds two taps of sixteen channels.
  RKNN_EP_AVX2_INLINE static void add_pair(__m256i first, __m256i second, const int16_t* weights, __m256i& low,
                                           __m256i& high) {
    const __m256i low_weights = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
    const __m256i high_weights = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + kBlock));
    low = _mm256_add_epi32(low, _mm256_madd_epi16(_mm256_unpacklo_epi16(first, second), low_weights));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(_mm256_unpackhi_epi16(first, second), high_weights));
  }

  RKNN_EP_AVX2_INLINE static __m256i wide(const uint8_t* source) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source)));
  }

  // Sixteen codes as words; of pictures with fewer channels only these are read.
  RKNN_EP_AVX2_INLINE static __m256i codes(const uint8_t* source, int64_t small) {
    if (!small) return wide(source);
    uint8_t held[kBlock] = {};
    std::memcpy(held, source, static_cast<size_t>(small));
    return wide(held);
  }

  const int64_t taps_, pairs_;
  const std::vector<uint8_t> padding_;
  std::vector<int64_t> starts_;
  std::vector<int16_t> weights_;  // [blocks][pairs][32]
  std::vector<int32_t> bias_;
  std::vector<float> multipliers_;
};

}  // namespace

std::unique_ptr<Convolution> make_depthwise(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                            const float* multipliers) {
  return std::make_unique<Depthwise>(shape, weights, bias, multipliers);
}

}  // namespace rknn_ep::simulator
#endif
