// From floats to codes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rknn_ep::simulator {

// The codes, [pixels][channels], of a float picture [channels][pixels] of at most four channels: x / scale rounded half
// to even, plus the zero point, saturated; 0 for what is not a number. Pixels `begin` to `end - 1`.
struct PictureQuantizer {
  size_t pixels, channels;
  float scale;
  uint8_t zero;

  void run(const float* input, size_t begin, size_t end, uint8_t* output) const;
};

}  // namespace rknn_ep::simulator
