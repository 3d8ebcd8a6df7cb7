// Where the elements of a tensor lie in memory: the layouts of rknn_api, with strides.
#pragma once

#include <cstdint>

namespace rknn_ep::tensor {

// Batch, channels, height and width are the tensor's own; steps and total count elements of the memory. Element
// (n, c, h, w) is at n * batch_step + c / channel_block * block_step + c % channel_block + h * height_step + w *
// width_step. A tensor that is no picture is one row: `flat`.
struct Layout {
  uint64_t batch = 1, channels = 1, height = 1, width = 1;
  uint64_t batch_step = 0, block_step = 0, height_step = 0, width_step = 1;
  uint64_t channel_block = 1;  // channels that lie beside each other
  uint64_t total = 0;          // elements that the memory holds, padding included

  uint64_t elements() const { return batch * channels * height * width; }
  uint64_t at(uint64_t n, uint64_t c, uint64_t h, uint64_t w) const {
    return n * batch_step + c / channel_block * block_step + c % channel_block + h * height_step + w * width_step;
  }
};

Layout flat(uint64_t elements);

// Strides are in elements (of one channel) a row and rows a plane, as in rknn_tensor_attr; 0, or less than the
// tensor's own, means none.
Layout nchw(uint64_t n, uint64_t c, uint64_t h, uint64_t w, uint64_t w_stride = 0, uint64_t h_stride = 0);
Layout nhwc(uint64_t n, uint64_t c, uint64_t h, uint64_t w, uint64_t w_stride = 0, uint64_t h_stride = 0);
// [N, C / block rounded up, H, W, block].
Layout nc1hwc2(uint64_t n, uint64_t c, uint64_t h, uint64_t w, uint64_t block, uint64_t w_stride = 0,
               uint64_t h_stride = 0);

}  // namespace rknn_ep::tensor
