// From 32-bit sums to uint8 codes: one float32 product, rounded half to even, saturated.
#pragma once

#include "simulator/kernels/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace rknn_ep::simulator {

constexpr int64_t kBlock = 16;  // channels at a time: two registers of 32-bit sums, one of codes

// Where the sum of a channel stands in its block: 0-3 and 8-11 in the first register, 4-7 and 12-15 in the second.
// Packing two registers into one works on halves, and so puts them in order.
constexpr int64_t interleaved(int64_t lane) { return lane % 4 + lane / 8 * 4 + lane / 4 % 2 * 8; }

// Products must stay below 2^31, as those of a Convolution do: all that follows saturates.
struct Rescale {
  __m256i zero;

  RKNN_EP_AVX2_INLINE explicit Rescale(uint8_t zero_point) : zero(_mm256_set1_epi16(zero_point)) {}

  RKNN_EP_AVX2_INLINE static __m256i rounded(__m256i sums, const float* multipliers) {
    return _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(multipliers)));
  }

  // The codes of a block from its interleaved sums.
  RKNN_EP_AVX2_INLINE __m128i codes(__m256i first, __m256i second, const float* multipliers) const {
    const __m256i words = _mm256_packs_epi32(rounded(first, multipliers), rounded(second, multipliers + 8));
    const __m256i moved = _mm256_adds_epi16(words, zero);
    return _mm_packus_epi16(_mm256_castsi256_si128(moved), _mm256_extracti128_si256(moved, 1));
  }

  // The same for half a block, whose eight sums are in order; the other half of the result means nothing.
  RKNN_EP_AVX2_INLINE __m128i codes(__m256i sums, const float* multipliers) const {
    const __m256i whole = rounded(sums, multipliers);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
    const __m128i moved = _mm_adds_epi16(words, _mm256_castsi256_si128(zero));
    return _mm_packus_epi16(moved, moved);
  }

  // Stores the first `valid` codes of a block, or of half a one.
  RKNN_EP_AVX2_INLINE void store(const __m256i (&sums)[2], const float* multipliers, int64_t valid,
                                 uint8_t* output) const {
    const __m128i block = codes(sums[0], sums[1], multipliers);
    if (__builtin_expect(valid == kBlock, 1)) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(output), block);
    } else {
      store_few(block, valid, output);
    }
  }
  RKNN_EP_AVX2_INLINE void store(const __m256i (&sums)[1], const float* multipliers, int64_t valid,
                                 uint8_t* output) const {
    const __m128i half = codes(sums[0], multipliers);
    if (__builtin_expect(valid == kBlock / 2, 1)) {
      _mm_storel_epi64(reinterpret_cast<__m128i*>(output), half);
    } else {
      store_few(half, valid, output);
    }
  }

 private:
  RKNN_EP_AVX2_INLINE static void store_few(__m128i codes, int64_t valid, uint8_t* output) {
    alignas(16) uint8_t held[kBlock];
    _mm_store_si128(reinterpret_cast<__m128i*>(held), codes);
    std::memcpy(output, held, static_cast<size_t>(valid));
  }
};

}  // namespace rknn_ep::simulator
#endif
