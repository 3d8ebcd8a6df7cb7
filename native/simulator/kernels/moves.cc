#include "simulator/kernels/moves.h"

#include <cstring>

#include "simulator/kernels/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rknn_ep::simulator {
namespace {

#if defined(__x86_64__)
// Sixteen tables of sixteen entries; a shuffle gives 0 for indices with the highest bit set, and so each table answers
// only for its own sixteenth of the codes.
RKNN_EP_AVX2 size_t look_up_by_shuffling(const uint8_t* table, const uint8_t* input, size_t count, uint8_t* output) {
  const __m256i limit = _mm256_set1_epi8(0x70);
  size_t i = 0;
  for (; i + 64 <= count; i += 64) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(input + i));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(input + i + 32));
    __m256i found_first = _mm256_setzero_si256(), found_second = _mm256_setzero_si256();
    for (int part = 0; part < 16; ++part) {
      const __m256i entries =
          _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(table + 16 * part)));
      const __m256i base = _mm256_set1_epi8(static_cast<char>(16 * part));
      const __m256i at_first = _mm256_adds_epu8(_mm256_xor_si256(first, base), limit);
      const __m256i at_second = _mm256_adds_epu8(_mm256_xor_si256(second, base), limit);
      found_first = _mm256_or_si256(found_first, _mm256_shuffle_epi8(entries, at_first));
      found_second = _mm256_or_si256(found_second, _mm256_shuffle_epi8(entries, at_second));
    }
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(output + i), found_first);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(output + i + 32), found_second);
  }
  return i;
}
#endif

}  // namespace

void look_up(const uint8_t* table, const uint8_t* input, size_t count, uint8_t* output) {
  size_t i = 0;
#if defined(__x86_64__)
  i = look_up_by_shuffling(table, input, count, output);
#endif
  for (; i < count; ++i) output[i] = table[input[i]];
}

void repeat_line(const uint8_t* input, size_t width, size_t channels, size_t rows, size_t columns, uint8_t* output) {
  uint8_t* target = output;
  for (size_t x = 0; x < width; ++x, input += channels) {
    for (size_t time = 0; time < columns; ++time, target += channels) std::memcpy(target, input, channels);
  }
  const auto line = static_cast<size_t>(target - output);
  for (size_t row = 1; row < rows; ++row) std::memcpy(output + row * line, output, line);
}

}  // namespace rknn_ep::simulator
