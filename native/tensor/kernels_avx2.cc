// The same kernels, compiled for AVX2 and F16C.
#define RKNN_EP_KERNELS kAvx2Kernels
#include "tensor/vector_kernels.inc"
