// 3x3 convolutions in steps of one pixel after Winograd: four output pixels, 2x2, from 16 products instead of 36.
//
//   output = A' [ (G g G') * (B' d B) ] A      d: 4x4 pixels, g: 3x3 weights, *: element by element, over all channels
//
// Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2015), F(2x2, 3x3). B and A hold 0, 1 and -1;
// G holds halves, and so 2G is taken on both sides: everything is an integer, and sums are exactly four times those
// wanted. Weights reach 9 * 128 and inputs 4 * 255, which fit into 16 bits. Sums may leave 32 bits on the way, where
// additions wrap and nothing is lost; the last ones must not, and with at most kDeepest channels they cannot.
#include <algorithm>
#include <array>
#include <vector>

#include "simulator/kernels/aligned.h"
#include "simulator/kernels/convolution.h"
#include "simulator/kernels/products.h"

#if defined(__x86_64__)
namespace rknn_ep::simulator {
namespace {

constexpr int kPoints = 16;     // a tile's products
constexpr int64_t kPanel = 24;  // tiles whose transformed codes stay in the cache while all weights pass by
constexpr int64_t kDeepest = (int64_t{1} << 31) / (4 * 9 * 255 * 128) - 1;

template <int Rows>
RKNN_EP_AVX2 void multiply(const int16_t* words, int64_t tiles, const int16_t* weights, int64_t pairs, int32_t* out) {
  for (; tiles > 0; --tiles, words += Rows * 2 * pairs) {
    __m256i sums[Rows][2];
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) sums[row][0] = sums[row][1] = _mm256_setzero_si256();
    add_products(words, 2 * pairs, weights, pairs, sums);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row, out += kBlock) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), sums[row][0]);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8), sums[row][1]);
    }
  }
}

using Multiply = void (*)(const int16_t*, int64_t, const int16_t*, int64_t, int32_t*);
constexpr Multiply kMultiply[kTile + 1] = {nullptr,     multiply<1>, multiply<2>, multiply<3>,
                                           multiply<4>, multiply<5>, multiply<6>};

// (2G) g for one line of weights.
std::array<int, 4> transformed_weights(int a, int b, int c) { return {2 * a, a + b + c, a - b + c, 2 * c}; }

// B' d for sixteen channels; lines and columns of `d` and `to` are `step` apart.
RKNN_EP_AVX2_INLINE void transform_codes(const __m256i* d, __m256i* to, int step) {
  to[0] = _mm256_sub_epi16(d[0], d[2 * step]);
  to[step] = _mm256_add_epi16(d[step], d[2 * step]);
  to[2 * step] = _mm256_sub_epi16(d[2 * step], d[step]);
  to[3 * step] = _mm256_sub_epi16(d[step], d[3 * step]);
}

class Winograd final : public Convolution {
 public:
  Winograd(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias, const float* multipliers)
      : Convolution(shape),
        pairs_((shape.channels + 1) / 2),
        blocks_((shape.kernels + kBlock - 1) / kBlock),
        weights_(static_cast<size_t>(blocks_ * kPoints * pairs_ * 2 * kBlock)),
        bias_(static_cast<size_t>(blocks_ * kBlock)),
        multipliers_(bias_.size()),
        padding_(static_cast<size_t>(shape.channels), shape.input_zero) {
    for (int64_t kernel = 0; kernel < shape.kernels; ++kernel) {
      const int64_t block = kernel / kBlock, lane = interleaved(kernel % kBlock);
      int64_t total = 0;
      for (int64_t channel = 0; channel < shape.channels; ++channel) {
        const int8_t* nine = weights + (kernel * shape.channels + channel) * 9;
        for (int tap = 0; tap < 9; ++tap) total += nine[tap];
        std::array<std::array<int, 4>, 3> columns;
        for (size_t x = 0; x < 3; ++x) columns[x] = transformed_weights(nine[x], nine[3 + x], nine[6 + x]);
        for (int64_t y = 0; y < 4; ++y) {
          const auto row = static_cast<size_t>(y);
          const std::array<int, 4> line = transformed_weights(columns[0][row], columns[1][row], columns[2][row]);
          for (int64_t x = 0; x < 4; ++x) {
            const int64_t at = ((block * kPoints + 4 * y + x) * pairs_ + channel / 2) * kBlock + lane;
            weights_[static_cast<size_t>(2 * at + channel % 2)] = static_cast<int16_t>(line[static_cast<size_t>(x)]);
          }
        }
      }
      // Codes are multiplied as they are; what their zero point adds is known.
      const auto at = static_cast<size_t>(block * kBlock + lane);
      bias_[at] = static_cast<int32_t>(bias[kernel] - total * shape.input_zero);
      multipliers_[at] = multipliers[kernel];
    }
  }

  size_t parts(const Picture& picture) const override {
    return static_cast<size_t>((tiles(picture) + kPanel - 1) / kPanel);
  }

  void run(const Picture& picture, size_t part, const uint8_t* input, uint8_t* output) const override {
    static thread_local AlignedVector<int16_t> words;  // [16 points][tiles][channels]
    static thread_local AlignedVector<int32_t> sums;   // [16 points][tiles][16 channels]
    const auto parts = static_cast<int64_t>(this->parts(picture)), all = tiles(picture);
    const int64_t begin = all * static_cast<int64_t>(part) / parts,
                  end = all * (static_cast<int64_t>(part) + 1) / parts;
    const int64_t stride = 2 * pairs_;
    // Points a line of the cache further apart than they need be, lest they all share the same few places in it.
    const int64_t plane = (end - begin) * stride + 32;
    if (const auto room = static_cast<size_t>(kPoints * plane); words.size() < room) words.resize(room);
    sums.resize(static_cast<size_t>(kPoints * kPanel * kBlock));
    for (int64_t tile = begin; tile < end; ++tile) {
      transform(picture, tile, input, words.data() + (tile - begin) * stride, plane);
    }
    for (int64_t block = 0; block < blocks_; ++block) {
      multiply_block(words.data(), plane, end - begin, block, sums.data());
      for (int64_t tile = begin; tile < end; ++tile) {
        finish(picture, tile, block, sums.data() + (tile - begin) * kBlock, (end - begin) * kBlock, output);
      }
    }
  }

 private:
  static int64_t columns(const Picture& picture) { return (picture.out_width + 1) / 2; }
  static int64_t tiles(const Picture& picture) { return (picture.out_height + 1) / 2 * columns(picture); }

  // The 4x4 pixels that a tile reads, for every channel.
  RKNN_EP_AVX2 void transform(const Picture& picture, int64_t tile, const uint8_t* input, int16_t* words,
                              int64_t plane) const {
    const int64_t channels = shape_.channels;
    const int64_t top = tile / columns(picture) * 2 - shape_.top, left = tile % columns(picture) * 2 - shape_.left;
    const uint8_t* pixels[16];
    for (int64_t i = 0; i < 16; ++i) {
      const int64_t y = top + i / 4, x = left + i % 4;
      const bool inside = y >= 0 && y < picture.height && x >= 0 && x < picture.width;
      pixels[i] = inside ? input + (y * picture.width + x) * channels : padding_.data();
    }
    for (int64_t first = 0; first < channels; first += kBlock) {
      // The last block ends with the last channel, and may do some channels once more.
      const int64_t channel = std::min(first, channels - kBlock);
      __m256i codes[16], rows[16];
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) codes[i] = widen(pixels[i] + channel);
#pragma GCC unroll 4
      for (int x = 0; x < 4; ++x) transform_codes(codes + x, rows + x, 4);
#pragma GCC unroll 4
      for (int y = 0; y < 4; ++y) transform_codes(rows + 4 * y, codes + 4 * y, 1);
#pragma GCC unroll 16
      for (int i = 0; i < 16; ++i) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + i * plane + channel), codes[i]);
      }
    }
  }

  void multiply_block(const int16_t* words, int64_t plane, int64_t rows, int64_t block, int32_t* sums) const {
    const int16_t* weights = weights_.data() + block * kPoints * pairs_ * 2 * kBlock;
    const Tiles tiles(rows, kTile);
    for (int64_t point = 0; point < kPoints; ++point, weights += pairs_ * 2 * kBlock) {
      tiles.each([&](int64_t row, int64_t size, int64_t count) {
        kMultiply[size](words + point * plane + row * 2 * pairs_, count, weights, pairs_,
                        sums + (point * rows + row) * kBlock);
      });
    }
  }

  // From a tile's products to the up to four output pixels.
  RKNN_EP_AVX2 void finish(const Picture& picture, int64_t tile, int64_t block, const int32_t* sums, int64_t plane,
                           uint8_t* output) const {
    const Rescale rescale(shape_.output_zero);
    __m256i pixels[4][2];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const int32_t* from = sums + 8 * half;
      __m256i upper[4], lower[4];
#pragma GCC unroll 4
      for (int x = 0; x < 4; ++x) {
        upper[x] = _mm256_add_epi32(_mm256_add_epi32(load(from + x * plane), load(from + (4 + x) * plane)),
                                    load(from + (8 + x) * plane));
        lower[x] = _mm256_sub_epi32(_mm256_sub_epi32(load(from + (4 + x) * plane), load(from + (8 + x) * plane)),
                                    load(from + (12 + x) * plane));
      }
      const __m256i bias = load(bias_.data() + block * kBlock + 8 * half);
      finish_line(upper, bias, pixels[0][half], pixels[1][half]);
      finish_line(lower, bias, pixels[2][half], pixels[3][half]);
    }
    const int64_t top = tile / columns(picture) * 2, left = tile % columns(picture) * 2;
    const int64_t valid = std::min(kBlock, shape_.kernels - block * kBlock);
    const float* const multipliers = multipliers_.data() + block * kBlock;
#pragma GCC unroll 4
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t y = top + i / 2, x = left + i % 2;
      if (y >= picture.out_height || x >= picture.out_width) continue;
      rescale.store(pixels[i], multipliers, valid,
                    output + (y * picture.out_width + x) * shape_.kernels + block * kBlock);
    }
  }

  RKNN_EP_AVX2_INLINE static __m256i load(const int32_t* sums) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sums));
  }

  RKNN_EP_AVX2_INLINE static void finish_line(const __m256i* line, __m256i bias, __m256i& left, __m256i& right) {
    const __m256i first = _mm256_add_epi32(_mm256_add_epi32(line[0], line[1]), line[2]);
    const __m256i second = _mm256_sub_epi32(_mm256_sub_epi32(line[1], line[2]), line[3]);
    left = _mm256_add_epi32(_mm256_srai_epi32(first, 2), bias);
    right = _mm256_add_epi32(_mm256_srai_epi32(second, 2), bias);
  }

  const int64_t pairs_, blocks_;
  AlignedVector<int16_t> weights_;  // [blocks][16 points][pairs][16 channels][2]
  AlignedVector<int32_t> bias_;
  AlignedVector<float> multipliers_;
  const std::vector<uint8_t> padding_;
};

}  // namespace

// From sixteen channels on it takes half to nine tenths of the direct way's time, whatever the picture's size.
bool winograd_fits(const ConvolutionShape& shape) {
  return !shape.depthwise && shape.height == 3 && shape.width == 3 && shape.stride_y == 1 && shape.stride_x == 1 &&
         shape.dilation_y == 1 && shape.dilation_x == 1 && shape.channels >= kBlock && shape.channels <= kDeepest;
}

std::unique_ptr<Convolution> make_winograd(const ConvolutionShape& shape, const int8_t* weights, const int32_t* bias,
                                           const float* multipliers) {
  return std::make_unique<Winograd>(shape, weights, bias, multipliers);
}

}  // namespace rknn_ep::simulator
#endif
