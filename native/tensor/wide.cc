#include "tensor/wide.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "bundle/half.h"

namespace rknn_ep::tensor {
namespace {

template <typename T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

template <typename T>
void store(uint8_t* to, T value) {
  std::memcpy(to, &value, sizeof(value));
}

template <typename T>
double code(const Side& side, const uint8_t* from) {
  const auto value = load<T>(from);
  return side.codes ? static_cast<float>(value - side.zero_point) * side.scale : static_cast<double>(value);
}

// Half to even; what does not fit, and NaN, becomes the nearest end, NaN the lowest.
template <typename T>
T integer(double value) {
  const double rounded = std::nearbyint(value);
  if (!(rounded > static_cast<double>(std::numeric_limits<T>::min()))) return std::numeric_limits<T>::min();
  if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(rounded);
}

template <typename T>
void put(const Side& side, double value, uint8_t* to) {
  if (side.codes) value = std::nearbyint(static_cast<float>(value) / side.scale) + side.zero_point;
  store(to, integer<T>(value));
}

float from_bfloat16(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value = 0;
  std::memcpy(&value, &wide, sizeof(value));
  return value;
}

uint16_t to_bfloat16(float value) {
  uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof(bits));
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>(bits >> 16 | 0x40u);  // NaN stays one
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

}  // namespace

double decode_one(const Side& side, const uint8_t* from) {
  switch (side.type) {
    case RKNN_TENSOR_FLOAT32:
      return load<float>(from);
    case RKNN_TENSOR_FLOAT16:
      return half_to_float(load<uint16_t>(from));
    case RKNN_TENSOR_BFLOAT16:
      return from_bfloat16(load<uint16_t>(from));
    case RKNN_TENSOR_INT8:
      return code<int8_t>(side, from);
    case RKNN_TENSOR_UINT8:
      return code<uint8_t>(side, from);
    case RKNN_TENSOR_INT16:
      return code<int16_t>(side, from);
    case RKNN_TENSOR_UINT16:
      return code<uint16_t>(side, from);
    case RKNN_TENSOR_INT32:
      return load<int32_t>(from);
    case RKNN_TENSOR_UINT32:
      return load<uint32_t>(from);
    case RKNN_TENSOR_INT64:
      return static_cast<double>(load<int64_t>(from));
    default:
      return *from ? 1 : 0;
  }
}

void encode_one(const Side& side, double value, uint8_t* to) {
  switch (side.type) {
    case RKNN_TENSOR_FLOAT32:
      return store(to, static_cast<float>(value));
    case RKNN_TENSOR_FLOAT16:
      return store(to, float_to_half(static_cast<float>(value)));
    case RKNN_TENSOR_BFLOAT16:
      return store(to, to_bfloat16(static_cast<float>(value)));
    case RKNN_TENSOR_INT8:
      return put<int8_t>(side, value, to);
    case RKNN_TENSOR_UINT8:
      return put<uint8_t>(side, value, to);
    case RKNN_TENSOR_INT16:
      return put<int16_t>(side, value, to);
    case RKNN_TENSOR_UINT16:
      return put<uint16_t>(side, value, to);
    case RKNN_TENSOR_INT32:
      return store(to, integer<int32_t>(value));
    case RKNN_TENSOR_UINT32:
      return store(to, integer<uint32_t>(value));
    case RKNN_TENSOR_INT64:
      return store(to, integer<int64_t>(value));
    default:
      *to = value != 0 ? 1 : 0;
  }
}

}  // namespace rknn_ep::tensor
