// Plain loops: what the vector kernels are tested against, and the kernels of RKNN_EP_SIMD=scalar.
#include <cstring>

#include "tensor/kernels.h"
#include "tensor/wide.h"

namespace rknn_ep::tensor {
namespace {

void elements(const Side& from, const Side& to, const uint8_t* source, uint8_t* target, size_t count) {
  const size_t from_size = element_bytes(from.type);
  const size_t to_size = element_bytes(to.type);
  for (size_t i = 0; i < count; ++i) {
    encode_one(to, decode_one(from, source + i * from_size), target + i * to_size);
  }
}

void affine(const Affine& way, const uint8_t* source, uint8_t* target, size_t count) {
  Side side;
  side.type = way.to_signed ? RKNN_TENSOR_INT8 : RKNN_TENSOR_UINT8;
  for (size_t i = 0; i < count; ++i) {
    const int given = way.from_signed ? static_cast<int8_t>(source[i]) : source[i];
    encode_one(side, static_cast<float>(given) * way.a + way.b, target + i);
  }
}

void line(const Line& line, const uint8_t* source, uint8_t* target, size_t count) {
  for (size_t i = 0; i < count; ++i) target[i] = on_line(line, source[i]);
}

void pack(size_t bytes, const uint8_t* planes, size_t plane_step, uint8_t* target, size_t step, size_t channels,
          size_t fill, uint8_t flip, size_t pixels) {
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < channels; ++c) {
      std::memcpy(target + (p * step + c) * bytes, planes + (c * plane_step + p) * bytes, bytes);
      target[(p * step + c) * bytes] ^= flip;
    }
    std::memset(target + (p * step + channels) * bytes, 0, fill * bytes);
  }
}

void unpack(size_t bytes, const uint8_t* source, size_t step, uint8_t* planes, size_t plane_step, size_t channels,
            uint8_t flip, size_t pixels) {
  for (size_t p = 0; p < pixels; ++p) {
    for (size_t c = 0; c < channels; ++c) {
      std::memcpy(planes + (c * plane_step + p) * bytes, source + (p * step + c) * bytes, bytes);
      planes[(c * plane_step + p) * bytes] ^= flip;
    }
  }
}

}  // namespace

const Kernels kScalarKernels{elements, affine, line, pack, unpack};

}  // namespace rknn_ep::tensor
