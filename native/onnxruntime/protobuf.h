// Writes protobuf messages as a list of pieces, so that a model's weights are copied once, when the whole is joined,
// however deep they are nested.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rknn_ep {

class Message {
 public:
  void integer(int field, int64_t value) {
    tag(field, 0);
    varint(static_cast<uint64_t>(value));
  }

  void float32(int field, float value) {
    tag(field, 5);
    char bytes[sizeof value];  // protobuf is little-endian, as are the machines that this runs on
    std::memcpy(bytes, &value, sizeof value);
    text_.append(bytes, sizeof bytes);
  }

  void bytes(int field, std::string_view value) {
    tag(field, 2);
    varint(value.size());
    text_.append(value);
  }

  // Bytes that are not copied before join(); `owner` keeps them alive where nothing else does.
  void external(int field, const void* data, size_t size, std::shared_ptr<const void> owner = nullptr) {
    tag(field, 2);
    varint(size);
    flush();
    pieces_.push_back({{}, static_cast<const char*>(data), size, std::move(owner)});
    size_ += size;
  }

  void message(int field, Message&& child) {
    tag(field, 2);
    varint(child.size());
    if (child.pieces_.empty()) {
      text_.append(child.text_);
      return;
    }
    flush();
    child.flush();
    for (Piece& piece : child.pieces_) {
      size_ += piece.size();
      pieces_.push_back(std::move(piece));
    }
  }

  size_t size() const { return size_ + text_.size(); }

  std::string join() const {
    std::string whole;
    whole.reserve(size());
    for (const Piece& piece : pieces_) whole.append(piece.data(), piece.size());
    whole.append(text_);
    return whole;
  }

 private:
  struct Piece {
    std::string text;
    const char* external = nullptr;
    size_t external_size = 0;
    std::shared_ptr<const void> owner;

    const char* data() const { return external != nullptr ? external : text.data(); }
    size_t size() const { return external != nullptr ? external_size : text.size(); }
  };

  void tag(int field, int wire_type) { varint((static_cast<uint64_t>(field) << 3) | static_cast<uint64_t>(wire_type)); }

  void varint(uint64_t value) {
    while (value >= 0x80) {
      text_.push_back(static_cast<char>(value | 0x80));
      value >>= 7;
    }
    text_.push_back(static_cast<char>(value));
  }

  void flush() {
    if (text_.empty()) return;
    size_ += text_.size();
    pieces_.push_back({std::move(text_), nullptr, 0, nullptr});
    text_.clear();
  }

  std::vector<Piece> pieces_;
  size_t size_ = 0;   // of pieces_
  std::string text_;  // what comes after them
};

}  // namespace rknn_ep
