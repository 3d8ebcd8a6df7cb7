// Bytes to bytes by a straight line in 16-bit integers, several times as fast as in float32. Not every line can be had
// so: whoever makes one compares all 256 bytes.
#pragma once

#include <cstdint>

namespace rknn_ep::tensor {

// With x the byte (its sign bit turned where it is signed) and y the result (likewise):
//   y = (((256 x + low) * factor >> 16) + offset) >> 8 saturated to 0..255, low = (x & low_mask) ^ low_flip
struct Line {
  uint16_t factor = 0;
  uint16_t add = 0, subtract = 0;      // the offset: one of them is 0
  uint8_t low_mask = 0, low_flip = 0;  // 0 and 0, 0xff and 0, or 0xff and 0xff
  uint8_t from_flip = 0, to_flip = 0;  // 0x80 for signed bytes
};

// The result for one byte.
inline uint8_t on_line(const Line& line, uint8_t byte) {
  const uint32_t x = static_cast<uint8_t>(byte ^ line.from_flip);
  const uint32_t low = (x & line.low_mask) ^ line.low_flip;
  uint32_t value = (((x << 8) | low) * line.factor) >> 16;
  value += line.add;
  value = value > 0xffff ? 0xffff : value;
  value = value > line.subtract ? value - line.subtract : 0;
  return static_cast<uint8_t>((value >> 8) ^ line.to_flip);
}

// Finds a line of about that slope that maps byte b to wanted[b] for every b. False where there is none of this form.
bool fit_line(const uint8_t (&wanted)[256], double slope, bool from_signed, bool to_signed, Line& line);

}  // namespace rknn_ep::tensor
