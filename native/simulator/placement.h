// How a program's memory stands to a tensor: the type and layout that rknn_inputs_set, rknn_outputs_get and
// rknn_set_io_mem were told, checked, as a side of a conversion.
#pragma once

#include "simulator/tensor.h"
#include "tensor/convert.h"

namespace rknn_ep::simulator {

// What the program said. Enums are plain numbers: a program can put anything there.
struct Wish {
  int type = 0;
  int format = 0;
  bool pass_through = false;  // the device's own type and layout
  uint32_t width_stride = 0;  // elements a row, rows a plane; 0: none
  uint32_t height_stride = 0;
  uint32_t channel_block = 0;  // of NC1HWC2; 0: the SoC's
};

// Throws Failure(RKNN_ERR_INPUT_INVALID or RKNN_ERR_OUTPUT_INVALID) where it cannot be.
tensor::Side placement(const Tensor& tensor, const Soc& soc, const Wish& wish, bool is_input);

// The session's buffer: contiguous, in ONNX's order and type.
tensor::Side session_side(const Tensor& tensor);

}  // namespace rknn_ep::simulator
