// Marks functions that use AVX2, so that the rest of the library runs on any x86-64. Elsewhere nothing of this is
// built.
#pragma once

#if defined(__x86_64__)
#define RKNN_EP_AVX2 __attribute__((target("avx2")))
#define RKNN_EP_AVX2_INLINE __attribute__((target("avx2"), always_inline)) inline
#endif

namespace rknn_ep::simulator {

// Whether the kernels of this folder are the ones to take: the processor has AVX2, and no instruction that sums four
// products of 8-bit codes, with which ONNX Runtime's own kernels are faster.
inline bool own_kernels_pay() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx2") && !__builtin_cpu_supports("avx512vnni") && !__builtin_cpu_supports("avxvnni");
#else
  return false;
#endif
}

}  // namespace rknn_ep::simulator
