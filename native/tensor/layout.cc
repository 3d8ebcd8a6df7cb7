#include "tensor/layout.h"

#include <algorithm>

namespace rknn_ep::tensor {

Layout flat(uint64_t elements) {
  Layout layout;
  layout.width = layout.height_step = layout.block_step = layout.batch_step = layout.total = elements;
  return layout;
}

Layout nchw(uint64_t n, uint64_t c, uint64_t h, uint64_t w, uint64_t w_stride, uint64_t h_stride) {
  Layout layout;
  layout.batch = n, layout.channels = c, layout.height = h, layout.width = w;
  layout.height_step = std::max(w, w_stride);
  layout.block_step = std::max(h, h_stride) * layout.height_step;
  layout.batch_step = c * layout.block_step;
  layout.total = n * layout.batch_step;
  return layout;
}

Layout nhwc(uint64_t n, uint64_t c, uint64_t h, uint64_t w, uint64_t w_stride, uint64_t h_stride) {
  Layout layout;
  layout.batch = n, layout.channels = c, layout.height = h, layout.width = w;
  layout.channel_block = layout.width_step = c;
  layout.height_step = std::max(w, w_stride) * c;
  layout.batch_step = layout.block_step = std::max(h, h_stride) * layout.height_step;
  layout.total = n * layout.batch_step;
  return layout;
}

Layout nc1hwc2(uint64_t n, uint64_t c, uint64_t h, uint64_t w, uint64_t block, uint64_t w_stride, uint64_t h_stride) {
  Layout layout;
  layout.batch = n, layout.channels = c, layout.height = h, layout.width = w;
  layout.channel_block = layout.width_step = std::max<uint64_t>(1, block);
  layout.height_step = std::max(w, w_stride) * layout.width_step;
  layout.block_step = std::max(h, h_stride) * layout.height_step;
  layout.batch_step = (c + layout.channel_block - 1) / layout.channel_block * layout.block_step;
  layout.total = n * layout.batch_step;
  return layout;
}

}  // namespace rknn_ep::tensor
