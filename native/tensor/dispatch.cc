#include <cstdlib>
#include <cstring>

#include "tensor/kernels.h"

namespace rknn_ep::tensor {
namespace {

const Kernels& choose() {
  const char* wanted = std::getenv("RKNN_EP_SIMD");
  if (wanted && std::strcmp(wanted, "scalar") == 0) return kScalarKernels;
#if defined(__x86_64__)
  const bool baseline = wanted && std::strcmp(wanted, "baseline") == 0;
  if (!baseline && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c")) return kAvx2Kernels;
#endif
  return kVectorKernels;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace rknn_ep::tensor
