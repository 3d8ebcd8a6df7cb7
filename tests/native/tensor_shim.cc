// A C face of native/tensor for the tests and the benchmark.
#include <stdexcept>

#include "tensor/convert.h"
#include "tensor/kernels.h"

using namespace rknn_ep::tensor;

extern "C" {

struct ShimSide {
  int32_t type, format; // format: 0 NCHW, 1 NHWC, 2 NC1HWC2, 3 flat
  uint32_t dims[4], w_stride, h_stride, block;
  int32_t codes;
  float scale;
  int32_t zero_point;
};

static Side side_of(const ShimSide &given) {
  const uint64_t n = given.dims[0], c = given.dims[1], h = given.dims[2],
                 w = given.dims[3];
  Side side{static_cast<rknn_tensor_type>(given.type),
            {},
            given.codes != 0,
            given.scale,
            given.zero_point};
  switch (given.format) {
  case 0:
    side.layout = nchw(n, c, h, w, given.w_stride, given.h_stride);
    break;
  case 1:
    side.layout = nhwc(n, c, h, w, given.w_stride, given.h_stride);
    break;
  case 2:
    side.layout =
        nc1hwc2(n, c, h, w, given.block, given.w_stride, given.h_stride);
    break;
  default:
    side.layout = flat(n * c * h * w);
  }
  return side;
}

__attribute__((visibility("default"))) uint64_t
shim_bytes(const ShimSide *side) {
  return bytes(side_of(*side));
}

// 0, or -1 where the conversion is refused; `repeat` times.
__attribute__((visibility("default"))) int
shim_convert(const ShimSide *from, const ShimSide *to, const void *source,
             void *target, int repeat) {
  try {
    const Converter convert(side_of(*from), side_of(*to));
    for (int i = 0; i < repeat; ++i)
      convert(source, target);
    return 0;
  } catch (const std::invalid_argument &) {
    return -1;
  }
}

// Which kernels are in use: 0 scalar, 1 the baseline's vectors, 2 AVX2.
__attribute__((visibility("default"))) int shim_kernels() {
  if (&kernels() == &kScalarKernels)
    return 0;
  return &kernels() == &kVectorKernels ? 1 : 2;
}
}
