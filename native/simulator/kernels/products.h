// The inner loop of products of matrices: rows of 16-bit words by sixteen output channels, pair by pair.
#pragma once

#include "simulator/kernels/rescale.h"

#if defined(__x86_64__)
#include <cstring>

namespace rknn_ep::simulator {

constexpr int kTile = 6;  // rows at a time: twelve of the sixteen registers hold sums

// `rows`, at least one, in tiles of at most `most` rows that differ by one at most.
class Tiles {
 public:
  Tiles(int64_t rows, int64_t most)
      : tiles_((rows + most - 1) / most), least_(rows / tiles_), larger_(rows - least_ * tiles_) {}

  // Calls work(first row, rows in a tile, tiles of that size) once or twice.
  template <typename Work>
  void each(const Work& work) const {
    if (larger_ > 0) work(int64_t{0}, least_ + 1, larger_);
    work(larger_ * (least_ + 1), least_, tiles_ - larger_);
  }

 private:
  int64_t tiles_, least_, larger_;
};

// Sums of `Rows` rows by eight or sixteen channels, which begin with a bias.
template <int Rows, int Registers>
RKNN_EP_AVX2_INLINE void start(__m256i (&sums)[Rows][Registers], const int32_t* bias) {
#pragma GCC unroll 8
  for (int row = 0; row < Rows; ++row) {
#pragma GCC unroll 2
    for (int i = 0; i < Registers; ++i) {
      sums[row][i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bias + 8 * i));
    }
  }
}

// Sixteen codes as 16-bit words. A shuffle of twice the same is half the work of what is made for it (vpmovzxbw).
RKNN_EP_AVX2_INLINE __m256i widen(const uint8_t* codes) {
  const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  const char none = -1;
  return _mm256_shuffle_epi8(
      twice, _mm256_setr_epi8(0, none, 1, none, 2, none, 3, none, 4, none, 5, none, 6, none, 7, none,  //
                              8, none, 9, none, 10, none, 11, none, 12, none, 13, none, 14, none, 15, none));
}

// Weights of eight channels, [8][2].
RKNN_EP_AVX2_INLINE __m256i load_weights(const int8_t* weights) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights)));
}
RKNN_EP_AVX2_INLINE __m256i load_weights(const int16_t* weights) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
}

// Adds to `sums` the products of rows, `stride` words apart, and weights [pairs][channels][2], in 32 bits.
template <typename Weight, int Rows, int Registers>
RKNN_EP_AVX2_INLINE void add_products(const int16_t* words, int64_t stride, const Weight* weights, int64_t pairs,
                                      __m256i (&sums)[Rows][Registers]) {
#pragma GCC unroll 4
  for (int64_t pair = 0; pair < pairs; ++pair, weights += Registers * kBlock, words += 2) {
    __m256i held[Registers];
#pragma GCC unroll 2
    for (int i = 0; i < Registers; ++i) held[i] = load_weights(weights + i * kBlock);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      int32_t two;
      std::memcpy(&two, words + row * stride, sizeof(two));
      const __m256i codes = _mm256_set1_epi32(two);
#pragma GCC unroll 2
      for (int i = 0; i < Registers; ++i) {
        sums[row][i] = _mm256_add_epi32(sums[row][i], _mm256_madd_epi16(codes, held[i]));
      }
    }
  }
}

}  // namespace rknn_ep::simulator
#endif
