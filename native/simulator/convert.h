// Moves a tensor between a program's memory, in any type and layout that rknn_api knows, and the session's: contiguous,
// in ONNX's order and type.
#pragma once

#include "simulator/tensor.h"

namespace rknn_ep::simulator {

// How a program's memory is laid out.
struct Placement {
  rknn_tensor_type type{};
  rknn_tensor_format format{};  // counts only for tensors of four dimensions
  uint32_t width_stride = 0;    // elements from one row to the next in NHWC; 0: the width
  uint32_t channel_block = 1;   // the innermost dimension of NC1HWC2
  bool codes = false;           // integers are device codes (scale and zero point apply), not values
};

// Bytes that the program's memory must hold; 0 where type and layout cannot be moved.
uint64_t placed_bytes(const Tensor& tensor, const Placement& placement);

// `from` holds placed_bytes(), `session` tensor.session_bytes().
void to_session(const Tensor& tensor, const Placement& placement, const void* from, void* session);
void from_session(const Tensor& tensor, const Placement& placement, const void* session, void* to);

}  // namespace rknn_ep::simulator
