// From 32-bit sums to uint8 codes: one float32 product, rounded half to even, saturated.
#pragma once

#include "simulator/kernels/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

namespace rknn_ep::simulator {

constexpr int64_t kBlock = 16;  // channels at a time: two registers of 32-bit sums, one of codes

// Where the sum of a channel stands in its block: 0-3 and 8-11 in the first register, 4-7 and 12-15 in the second.
// Packing two registers into one works on halves, and so puts them in order.
constexpr int64_t interleaved(int64_t lane) { return lane % 4 + lane / 8 * 4 + lane / 4 % 2 * 8; }

struct Rescale {
  __m256 limit;
  __m256i zero;

  RKNN_EP_AVX2_INLINE explicit Rescale(uint8_t zero_point)
      : limit(_mm256_set1_ps(255.0f)), zero(_mm256_set1_epi16(zero_point)) {}

  // What is below -2^31 becomes -2^31, and all that follows saturates; above 2^31 it would too, were there no limit.
  RKNN_EP_AVX2_INLINE __m256i rounded(__m256i sums, const float* multipliers) const {
    const __m256 real = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(multipliers));
    return _mm256_cvtps_epi32(_mm256_min_ps(real, limit));
  }

  // The codes of a block from its interleaved sums.
  RKNN_EP_AVX2_INLINE __m128i codes(__m256i first, __m256i second, const float* multipliers) const {
    const __m256i words = _mm256_packs_epi32(rounded(first, multipliers), rounded(second, multipliers + 8));
    const __m256i moved = _mm256_adds_epi16(words, zero);
    return _mm_packus_epi16(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
  }

  // Stores the first `valid` codes of a block.
  RKNN_EP_AVX2_INLINE void store(__m256i first, __m256i second, const float* multipliers, int64_t valid,
                                 uint8_t* output) const {
    const __m128i block = codes(first, second, multipliers);
    if (valid == kBlock) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(output), block);
    } else {
      alignas(16) uint8_t held[kBlock];
      _mm_store_si128(reinterpret_cast<__m128i*>(held), block);
      for (int64_t i = 0; i < valid; ++i) output[i] = held[i];
    }
  }
};

}  // namespace rknn_ep::simulator
#endif
