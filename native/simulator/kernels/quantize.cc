#include "simulator/kernels/quantize.h"

#include <cmath>

#include "simulator/kernels/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rknn_ep::simulator {
namespace {

#if defined(__x86_64__)
// Eight pixels at a time, one in each 32-bit word, from which the unused bytes are then shuffled out. Stores up to
// twelve bytes more than it should, and ends where these would not be overwritten by what follows.
RKNN_EP_AVX2 size_t quantize_by_eights(const PictureQuantizer& how, const float* input, size_t begin, size_t end,
                                       uint8_t* output) {
  const size_t channels = how.channels;
  const __m256 scale = _mm256_set1_ps(how.scale);
  const __m256 low = _mm256_set1_ps(-static_cast<float>(how.zero)), high = _mm256_set1_ps(255.0f - how.zero);
  const __m256i zero = _mm256_set1_epi32(how.zero);
  alignas(16) int8_t order[16];
  for (size_t i = 0; i < 16; ++i) {
    order[i] = i < 4 * channels ? static_cast<int8_t>(i / channels * 4 + i % channels) : int8_t{-1};
  }
  const __m256i dense = _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(order)));
  size_t pixel = begin;
  for (; (end - pixel) * channels >= 4 * channels + 16; pixel += 8) {
    __m256i codes = _mm256_setzero_si256();
    for (size_t channel = channels; channel-- > 0;) {
      const __m256 real = _mm256_div_ps(_mm256_loadu_ps(input + channel * how.pixels + pixel), scale);
      const __m256 inside = _mm256_min_ps(_mm256_max_ps(real, low), high);
      codes = _mm256_or_si256(_mm256_slli_epi32(codes, 8), _mm256_add_epi32(_mm256_cvtps_epi32(inside), zero));
    }
    const __m256i bytes = _mm256_shuffle_epi8(codes, dense);
    uint8_t* const target = output + pixel * channels;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target), _mm256_castsi256_si128(bytes));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target + 4 * channels), _mm256_extracti128_si256(bytes, 1));
  }
  return pixel;
}
#endif

}  // namespace

void PictureQuantizer::run(const float* input, size_t begin, size_t end, uint8_t* output) const {
  size_t pixel = begin;
#if defined(__x86_64__)
  pixel = quantize_by_eights(*this, input, begin, end, output);
#endif
  for (; pixel < end; ++pixel) {
    for (size_t channel = 0; channel < channels; ++channel) {
      const float real = input[channel * pixels + pixel] / scale, low = -static_cast<float>(zero), high = 255.0f + low;
      const float inside = real > low ? (real < high ? real : high) : low;  // what is no number is not above `low`
      output[pixel * channels + channel] = static_cast<uint8_t>(std::nearbyint(inside) + zero);
    }
  }
}

}  // namespace rknn_ep::simulator
