// The inner loop of products of matrices: rows of 16-bit words by sixteen output channels, pair by pair.
#pragma once

#include "simulator/kernels/rescale.h"

#if defined(__x86_64__)
#include <cstring>

namespace rknn_ep::simulator {

constexpr int kTile = 6;  // rows at a time: twelve of the sixteen registers hold sums

// Two registers of weights, [16 channels][2] each.
RKNN_EP_AVX2_INLINE __m256i load_weights(const int8_t* weights) {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights)));
}
RKNN_EP_AVX2_INLINE __m256i load_weights(const int16_t* weights) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights));
}

// Adds to `sums` the products of rows, `stride` words apart, and weights [pairs][16 channels][2], in 32 bits.
template <int Rows, typename Weight>
RKNN_EP_AVX2_INLINE void add_products(const int16_t* words, int64_t stride, const Weight* weights, int64_t pairs,
                                      __m256i (&sums)[Rows][2]) {
  for (int64_t pair = 0; pair < pairs; ++pair, weights += 2 * kBlock, words += 2) {
    const __m256i first = load_weights(weights), second = load_weights(weights + kBlock);
#pragma GCC unroll 8
    for (int row = 0; row < Rows; ++row) {
      int32_t two;
      std::memcpy(&two, words + row * stride, sizeof(two));
      const __m256i codes = _mm256_set1_epi32(two);
      sums[row][0] = _mm256_add_epi32(sums[row][0], _mm256_madd_epi16(codes, first));
      sums[row][1] = _mm256_add_epi32(sums[row][1], _mm256_madd_epi16(codes, second));
    }
  }
}

}  // namespace rknn_ep::simulator
#endif
