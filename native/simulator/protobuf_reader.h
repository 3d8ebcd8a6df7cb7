// Walks the fields of a protobuf message; every length in it is untrusted.
#pragma once

#include <cstdint>
#include <string>

#include "bundle/archive.h"

namespace rknn_ep::simulator::protobuf {

// Throws Failure(RKNN_ERR_MODEL_INVALID).
[[noreturn]] void invalid(const std::string& reason);

struct Field {
  uint32_t number = 0;
  uint32_t wire = 0;  // 0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes
  uint64_t value = 0;
  Bytes bytes;
  Bytes whole;  // with the tag
};

// Walks the fields of one protobuf message.
class Message {
 public:
  explicit Message(Bytes bytes) : at_(bytes.data), end_(bytes.data + bytes.size) {}

  bool next(Field& field) {
    if (at_ == end_) return false;
    const uint8_t* begin = at_;
    const uint64_t tag = varint();
    field = {static_cast<uint32_t>(tag >> 3), static_cast<uint32_t>(tag & 7), 0, {}, {}};
    switch (field.wire) {
      case 0:
        field.value = varint();
        break;
      case 1:
        field.bytes = take(8);
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        field.bytes = take(4);
        break;
      default:
        invalid("not a protobuf message");
    }
    field.whole = {begin, static_cast<size_t>(at_ - begin)};
    return true;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (at_ == end_) invalid("cut short");
      const uint8_t byte = *at_++;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
    invalid("not a protobuf message");
  }

  bool done() const { return at_ == end_; }

 private:
  Bytes take(uint64_t size) {
    if (size > static_cast<uint64_t>(end_ - at_)) invalid("cut short");
    const Bytes taken{at_, static_cast<size_t>(size)};
    at_ += size;
    return taken;
  }

  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace rknn_ep::simulator::protobuf
