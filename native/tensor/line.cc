#include "tensor/line.h"

#include <algorithm>

namespace rknn_ep::tensor {
namespace {

constexpr int kBytes = 256;

// What the low byte can be, as factors of x: each gives the slope other values that 16 bits can hold.
constexpr struct {
  uint8_t mask, flip;
  double times;
} kLows[] = {{0, 0, 256}, {0xff, 0, 257}, {0xff, 0xff, 255}};  // the fastest first

bool is_right(const Line& line, const uint8_t (&wanted)[kBytes]) {
  for (int byte = 0; byte < kBytes; ++byte) {
    if (on_line(line, static_cast<uint8_t>(byte)) != wanted[byte]) return false;
  }
  return true;
}

}  // namespace

bool fit_line(const uint8_t (&wanted)[kBytes], double slope, bool from_signed, bool to_signed, Line& line) {
  line.from_flip = from_signed ? 0x80 : 0;
  line.to_flip = to_signed ? 0x80 : 0;
  for (const auto& low : kLows) {
    line.low_mask = low.mask;
    line.low_flip = low.flip;
    const double nearest = slope * (1 << 24) / low.times;
    if (!(nearest < 65532)) continue;
    for (const int nudge : {0, 1, -1, 2, -2, 3}) {
      const int factor = static_cast<int>(nearest) + nudge;
      if (factor < 1) continue;
      line.factor = static_cast<uint16_t>(factor);
      // Each byte that does not saturate bounds the offset from both sides.
      int lowest = -0xffff, highest = 0xffff;
      for (int x = 0; x < kBytes; ++x) {
        const int y = wanted[x ^ line.from_flip] ^ line.to_flip;
        const int product = static_cast<int>(
            static_cast<uint32_t>(x * 256 + ((x & low.mask) ^ low.flip)) * static_cast<uint32_t>(factor) >> 16);
        if (y > 0) lowest = std::max(lowest, y * 256 - product);
        if (y < 255) highest = std::min(highest, y * 256 + 255 - product);
      }
      if (lowest > highest) continue;
      const int offset = lowest + (highest - lowest) / 2;
      line.add = static_cast<uint16_t>(std::max(offset, 0));
      line.subtract = static_cast<uint16_t>(std::max(-offset, 0));
      if (is_right(line, wanted)) return true;
    }
  }
  return false;
}

}  // namespace rknn_ep::tensor
