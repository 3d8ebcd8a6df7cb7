// From 32-bit sums to uint8 codes: one float32 product, rounded half to even, saturated.
#pragma once

#include "simulator/kernels/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>

namespace rknn_ep::simulator {

struct Rescale {
  __m256 low, high;
  __m256i zero;

  RKNN_EP_AVX2_INLINE explicit Rescale(uint8_t zero_point)
      : low(_mm256_set1_ps(-static_cast<float>(zero_point))),
        high(_mm256_set1_ps(255.0f - static_cast<float>(zero_point))),
        zero(_mm256_set1_epi32(zero_point)) {}

  RKNN_EP_AVX2_INLINE __m256i rounded(__m256i sums, const float* multipliers) const {
    const __m256 real = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(multipliers));
    const __m256 inside = _mm256_min_ps(_mm256_max_ps(real, low), high);
    return _mm256_add_epi32(_mm256_cvtps_epi32(inside), zero);
  }

  // `words` holds sixteen codes as 16-bit words in order.
  RKNN_EP_AVX2_INLINE static __m128i bytes(__m256i words) {
    return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  }
};

}  // namespace rknn_ep::simulator
#endif
