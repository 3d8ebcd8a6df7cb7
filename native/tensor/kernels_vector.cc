// The vector kernels for the baseline of the compiler: NEON on aarch64, SSE2 on x86-64.
#define RKNN_EP_KERNELS kVectorKernels
#include "tensor/vector_kernels.inc"
