// IEEE 754 binary16 in software: the same on every compiler and CPU, rounding to nearest, ties to even.
#pragma once

#include <cstdint>
#include <cstring>

namespace rknn_ep {

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t exponent = (half >> 10) & 0x1fu;
  const uint32_t mantissa = half & 0x3ffu;
  uint32_t bits = 0;
  if (exponent == 0x1f) {
    bits = sign | 0x7f800000u | mantissa << 13;
  } else if (exponent != 0) {
    bits = sign | (exponent + 112) << 23 | mantissa << 13;
  } else {
    const float value = static_cast<float>(mantissa) * 0x1p-24f;  // subnormals and zero
    std::memcpy(&bits, &value, sizeof(bits));
    bits |= sign;
  }
  float value = 0;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline uint16_t float_to_half(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  const auto sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);   // NaN
  if (bits >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more round to infinity
  if (bits < 0x38800000u) {                                               // below 2^-14: adding 0.5 rounds in place
    float magnitude = 0;
    std::memcpy(&magnitude, &bits, sizeof(magnitude));
    magnitude += 0.5f;
    std::memcpy(&bits, &magnitude, sizeof(bits));
    return static_cast<uint16_t>(sign | (bits - 0x3f000000u));
  }
  const uint32_t odd = bits >> 13 & 1u;
  return static_cast<uint16_t>(sign | (bits - 0x38000000u + 0xfffu + odd) >> 13);
}

}  // namespace rknn_ep
