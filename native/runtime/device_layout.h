// Where the elements of a tensor lie in the device's memory, in the layouts that rknn_query reports.
#pragma once

#include <cstdint>

#include "abi/rknn_api.h"
#include "runtime/interface.h"

namespace rknn_ep {

// A tensor as rows of consecutive elements in ONNX's order (NCHW where there are four dimensions, else one row). Every
// number counts elements.
struct DeviceLayout {
  uint64_t batch = 1, channels = 1, height = 1, width = 1;
  uint64_t batch_step = 0, height_step = 0, width_step = 1;  // from one to the next in the device's memory
  uint64_t channel_block = 1, block_step = 0;  // channel c begins at c / channel_block * block_step + c % channel_block
  uint64_t total = 0;                          // that the memory holds, padding included

  // Throws Failure, naming the tensor, where `attr` is not `spec` in a layout that we know.
  DeviceLayout(const TensorSpec& spec, const rknn_tensor_attr& attr);

  // Calls move(place of a row's first element on the device, its place in ONNX's order) for every row.
  template <typename Move>
  void for_each_row(Move move) const {
    uint64_t border = 0;
    for (uint64_t n = 0; n < batch; ++n) {
      for (uint64_t c = 0; c < channels; ++c) {
        const uint64_t plane = n * batch_step + c / channel_block * block_step + c % channel_block;
        for (uint64_t h = 0; h < height; ++h, border += width) move(plane + h * height_step, border);
      }
    }
  }
};

}  // namespace rknn_ep
