// The innermost loops, one table for each instruction set. No alignment is asked of any address.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/convert.h"

namespace rknn_ep::tensor {

struct Kernels {
  // Converts `count` consecutive elements from one side's type to the other's.
  void (*elements)(const Side& from, const Side& to, const uint8_t* source, uint8_t* target, size_t count);

  void (*affine)(const Affine& way, const uint8_t* source, uint8_t* target, size_t count);
  void (*line)(const Line& line, const uint8_t* source, uint8_t* target, size_t count);

  // Interleaves: element (pixel p, channel c) goes from plane c's element p to target[p * step + c]. Planes lie
  // `plane_step` elements apart. `fill` elements after each pixel's channels are set to zero.
  // What is moved is xored with `flip`, which is 0 unless elements are bytes.
  void (*pack)(size_t element_bytes, const uint8_t* planes, size_t plane_step, uint8_t* target, size_t step,
               size_t channels, size_t fill, uint8_t flip, size_t pixels);

  // The inverse.
  void (*unpack)(size_t element_bytes, const uint8_t* source, size_t step, uint8_t* planes, size_t plane_step,
                 size_t channels, uint8_t flip, size_t pixels);
};

extern const Kernels kScalarKernels;
extern const Kernels kVectorKernels;  // the baseline's vectors: NEON on aarch64
#if defined(__x86_64__)
extern const Kernels kAvx2Kernels;
#endif

// Chosen once.
const Kernels& kernels();

}  // namespace rknn_ep::tensor
