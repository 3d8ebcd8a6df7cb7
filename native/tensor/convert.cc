#include "tensor/convert.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "tensor/kernels.h"

namespace rknn_ep::tensor {
namespace {

constexpr size_t kTile = 256;  // pixels that are converted and moved at a time: they stay in the nearest cache
constexpr size_t kTileChannels = 16;
constexpr size_t kFew = 4;  // channels, of which more pixels are taken at a time
constexpr size_t kVector = 16;
constexpr size_t kLine = 64;  // bytes of a cache line
constexpr size_t kColumn = 2 * kLine;
constexpr size_t kBytes = 256;
constexpr uint8_t kSign = 0x80;
constexpr size_t kWidest = 8;  // bytes of the widest element

bool is_coded(const Side& side) {
  switch (side.type) {
    case RKNN_TENSOR_INT8:
    case RKNN_TENSOR_UINT8:
    case RKNN_TENSOR_INT16:
    case RKNN_TENSOR_UINT16:
      return side.codes;
    default:
      return false;
  }
}

bool same_elements(const Side& from, const Side& to) {
  if (from.type != to.type || from.type == RKNN_TENSOR_BOOL) return false;  // a program's BOOL may be any number
  if (is_coded(from) != is_coded(to)) return false;
  return !is_coded(from) || (from.scale == to.scale && from.zero_point == to.zero_point);
}

bool planar(const Layout& layout) { return layout.width_step == 1 && layout.channel_block == 1; }

// Whether rows of a plane follow each other without padding.
bool dense_rows(const Layout& layout) { return layout.height_step == layout.width * layout.width_step; }

bool same_memory(const Layout& a, const Layout& b) {
  return a.total == b.total && a.batch_step == b.batch_step && a.height_step == b.height_step &&
         a.width_step == b.width_step && a.channel_block == b.channel_block &&
         (a.block_step == b.block_step || a.channels <= a.channel_block);
}

bool dense(const Layout& layout) { return layout.total == layout.elements(); }

// NHWC of one channel, and NC1HWC2 of a block of one, are planes.
void simplify(Layout& layout) {
  if (layout.channels == 1 && layout.width_step == 1) layout.channel_block = 1;
}

// Whether lines that far apart displace each other in the nearest cache.
bool conflicting(uint64_t bytes) { return bytes > kLine && bytes % kLine == 0; }

// Whether that many bytes are no whole vectors and have no kernel of their own.
bool odd(uint64_t bytes) { return bytes % kVector != 0 && bytes > 4 && bytes != 8; }

template <size_t kSize>
void copy_whole(const uint8_t* from, uint64_t from_step, uint8_t* to, uint64_t to_step, uint64_t rows) {
  for (uint64_t i = 0; i < rows; ++i) std::memcpy(to + i * to_step, from + i * from_step, kSize);
}

// Rows of between one and two pieces of kSize: the pieces overlap.
template <size_t kSize>
void copy_pieces(const uint8_t* from, uint64_t from_step, uint8_t* to, uint64_t to_step, uint64_t size, uint64_t rows) {
  for (uint64_t i = 0; i < rows; ++i, from += from_step, to += to_step) {
    uint8_t first[kSize], second[kSize];
    std::memcpy(first, from, kSize);
    std::memcpy(second, from + size - kSize, kSize);
    std::memcpy(to, first, kSize);
    std::memcpy(to + size - kSize, second, kSize);
  }
}

// Rows of at most a line: a call of memcpy for each would take longer than the copying.
void copy_rows(const uint8_t* from, uint64_t from_step, uint8_t* to, uint64_t to_step, uint64_t size, uint64_t rows) {
  if (size == kLine) return copy_whole<kLine>(from, from_step, to, to_step, rows);
  if (size == kVector) return copy_whole<kVector>(from, from_step, to, to_step, rows);
  if (size > 32) return copy_pieces<32>(from, from_step, to, to_step, size, rows);
  if (size >= 16) return copy_pieces<16>(from, from_step, to, to_step, size, rows);
  if (size >= 8) return copy_pieces<8>(from, from_step, to, to_step, size, rows);
  if (size >= 4) return copy_pieces<4>(from, from_step, to, to_step, size, rows);
  if (size >= 2) return copy_pieces<2>(from, from_step, to, to_step, size, rows);
  copy_whole<1>(from, from_step, to, to_step, rows);
}

}  // namespace

size_t element_bytes(rknn_tensor_type type) {
  switch (type) {
    case RKNN_TENSOR_INT8:
    case RKNN_TENSOR_UINT8:
    case RKNN_TENSOR_BOOL:
      return 1;
    case RKNN_TENSOR_FLOAT16:
    case RKNN_TENSOR_BFLOAT16:
    case RKNN_TENSOR_INT16:
    case RKNN_TENSOR_UINT16:
      return 2;
    case RKNN_TENSOR_FLOAT32:
    case RKNN_TENSOR_INT32:
    case RKNN_TENSOR_UINT32:
      return 4;
    case RKNN_TENSOR_INT64:
      return 8;
    default:
      return 0;
  }
}

uint64_t bytes(const Side& side) { return side.layout.total * element_bytes(side.type); }

Converter::Converter(const Side& from, const Side& to)
    : from_(from),
      to_(to),
      from_size_(element_bytes(from.type)),
      to_size_(element_bytes(to.type)),
      same_type_(same_elements(from, to)) {
  if (!from_size_ || !to_size_) throw std::invalid_argument("a tensor type that is not converted");
  for (const Side* side : {&from, &to}) {
    constexpr int32_t kFarthest = 1 << 16;
    const bool sane = side->scale > 0 && side->zero_point >= -kFarthest && side->zero_point <= kFarthest;
    if (is_coded(*side) && !sane) throw std::invalid_argument("codes without a proper scale and zero point");
  }
  from_.codes = is_coded(from);
  to_.codes = is_coded(to);
  simplify(from_.layout);
  simplify(to_.layout);
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  if (a.batch != b.batch || a.channels != b.channels || a.height != b.height || a.width != b.width) {
    throw std::invalid_argument("tensors of different shapes");
  }
  identical_ = same_type_ && same_memory(a, b);
  byte_way_ = fit_bytes();
  const bool merged = dense_rows(a) && dense_rows(b);
  planes_ = merged ? 1 : a.height;
  pixels_ = merged ? a.height * a.width : a.width;
  if (same_memory(a, b) && dense(a)) {
    way_ = Way::kCopy;
  } else if (planar(a) && planar(b)) {
    way_ = Way::kRows;
  } else if (planar(a)) {
    way_ = Way::kPack;
  } else if (planar(b)) {
    way_ = Way::kUnpack;
  } else {
    way_ = Way::kRepack;
  }
}

Converter::ByteWay Converter::fit_bytes() {
  const auto is_byte = [](const Side& side) { return side.type == RKNN_TENSOR_INT8 || side.type == RKNN_TENSOR_UINT8; };
  if (same_type_ || !is_byte(from_) || !is_byte(to_) || from_.layout.elements() < kBytes) return ByteWay::kDivide;
  const double from_scale = from_.codes ? from_.scale : 1, to_scale = to_.codes ? to_.scale : 1;
  const double from_zero = from_.codes ? from_.zero_point : 0, to_zero = to_.codes ? to_.zero_point : 0;
  affine_.a = static_cast<float>(from_scale / to_scale);
  affine_.b = static_cast<float>(to_zero - from_zero * from_scale / to_scale);
  affine_.from_signed = from_.type == RKNN_TENSOR_INT8;
  affine_.to_signed = to_.type == RKNN_TENSOR_INT8;
  if (!(affine_.a < 4096) || !(affine_.b < 4e6f && affine_.b > -4e6f)) return ByteWay::kDivide;
  uint8_t all[kBytes], divided[kBytes], multiplied[kBytes];
  for (size_t i = 0; i < kBytes; ++i) all[i] = static_cast<uint8_t>(i);
  kernels().elements(from_, to_, all, divided, kBytes);
  const auto flipped = [](uint8_t a, uint8_t b) { return (a ^ kSign) == b; };
  if (std::equal(all, all + kBytes, divided, flipped)) return ByteWay::kFlip;
  if (fit_line(divided, from_scale / to_scale, affine_.from_signed, affine_.to_signed, line_)) return ByteWay::kLine;
  kernels().affine(affine_, all, multiplied, kBytes);
  return std::memcmp(divided, multiplied, kBytes) == 0 ? ByteWay::kAffine : ByteWay::kDivide;
}

void Converter::elements(const uint8_t* from, uint8_t* to, uint64_t count) const {
  switch (byte_way_) {
    case ByteWay::kLine:
      return kernels().line(line_, from, to, count);
    case ByteWay::kAffine:
      return kernels().affine(affine_, from, to, count);
    default:
      kernels().elements(from_, to_, from, to, count);
  }
}

void Converter::operator()(const void* from, void* to) const {
  const auto* source = static_cast<const uint8_t*>(from);
  auto* target = static_cast<uint8_t*>(to);
  switch (way_) {
    case Way::kCopy:
      if (same_type_) {
        std::memcpy(target, source, from_.layout.total * from_size_);
      } else {
        elements(source, target, from_.layout.total);
      }
      return;
    case Way::kRows:
      return rows(source, target);
    case Way::kPack:
      return pack(source, target);
    case Way::kUnpack:
      return unpack(source, target);
    default:
      return repack(source, target);
  }
}

void Converter::rows(const uint8_t* from, uint8_t* to) const {
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  for (uint64_t n = 0; n < a.batch; ++n) {
    for (uint64_t c = 0; c < a.channels; ++c) {
      for (uint64_t h = 0; h < planes_; ++h) {
        const uint8_t* source = from + a.at(n, c, h, 0) * from_size_;
        uint8_t* target = to + b.at(n, c, h, 0) * to_size_;
        if (same_type_) {
          std::memcpy(target, source, pixels_ * to_size_);
        } else {
          elements(source, target, pixels_);
        }
      }
    }
  }
}

// The channels from `c` to before `end` that lie beside each other on both sides.
uint64_t Converter::together(uint64_t c, uint64_t end) const {
  for (const Layout* layout : {&from_.layout, &to_.layout}) {
    if (layout->channel_block > 1) end = std::min(end, c + layout->channel_block - c % layout->channel_block);
  }
  return end - c;
}

// A line of channels at a time, so that pixels which lie apart are fetched once.
template <typename Part>
void Converter::parts(uint64_t pixels, const Part& part) const {
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  const uint64_t line = kLine / std::max(from_size_, to_size_);
  const uint64_t used = b.channels % b.channel_block;
  const uint64_t fill = used && b.channel_block != b.channels ? b.channel_block - used : 0;
  for (uint64_t n = 0; n < a.batch; ++n) {
    for (uint64_t h = 0; h < planes_; ++h) {
      for (uint64_t begin = 0; begin < a.channels; begin += line) {
        const uint64_t end = std::min(begin + line, a.channels);
        Piece pieces[kLine];
        size_t count = 0;
        for (uint64_t c = begin; c < end;) {
          Piece& piece = pieces[count++];
          piece = {a.at(n, c, h, 0), b.at(n, c, h, 0), together(c, end), 0};
          c += piece.channels;
          if (c == b.channels) piece.fill = fill;
        }
        for (uint64_t p = 0; p < pixels_; p += pixels) {
          for (size_t i = 0; i < count; ++i) part(pieces[i], p, std::min(pixels, pixels_ - p));
        }
      }
    }
  }
}

void Converter::pack(const uint8_t* from, uint8_t* to) const {
  const uint64_t planes = from_.layout.block_step;
  const uint64_t pixel_bytes = to_.layout.width_step * to_size_;
  // Few channels are moved as they are. Otherwise all channels of a line are written while the line is in the nearest
  // cache. Pixels whose channels are not whole vectors, or lie apart, are put together elsewhere.
  const bool narrow = pixel_bytes <= kVector;
  const bool moved = same_type_ || byte_way_ == ByteWay::kFlip;
  const uint8_t flip = same_type_ ? 0 : kSign;
  const bool whole = moved && narrow;
  const bool unfilled = to_.layout.channels == to_.layout.width_step;
  const bool staged = unfilled && (conflicting(pixel_bytes) || odd(pixel_bytes));
  const uint64_t tile = to_.layout.channels <= kFew && !staged ? kTile * kTileChannels / kFew : kTile;
  alignas(kLine) uint8_t values[kTile * kTileChannels * kWidest];
  alignas(kLine) uint8_t stage[kTile * kLine];
  parts(whole ? pixels_ : tile, [&](const Piece& piece, uint64_t p, uint64_t pixels) {
    const uint64_t channels = piece.channels, fill = piece.fill;
    uint8_t* place = to + piece.to * to_size_ + p * pixel_bytes;
    uint8_t* target = staged ? stage : place;
    const uint64_t step = staged ? kLine / to_size_ : to_.layout.width_step;
    for (uint64_t k = 0; k < channels;) {
      const bool doubled = moved && to_size_ == 1 && channels - k >= 2 * kTileChannels;
      const uint64_t group = doubled ? 2 * kTileChannels : std::min<uint64_t>(channels - k, kTileChannels);
      const uint8_t* source = from + (piece.from + p + k * planes) * from_size_;
      uint64_t plane_step = planes;
      if (!moved) {
        for (uint64_t i = 0; i < group; ++i) {
          elements(source + i * planes * from_size_, values + i * tile * to_size_, pixels);
        }
        source = values;
        plane_step = tile;
      }
      const bool last = k + group == channels;
      const uint64_t room = staged && to_size_ == 1 && !doubled ? kTileChannels - group : 0;  // a whole vector
      kernels().pack(to_size_, source, plane_step, target + k * to_size_, step, group, last ? std::max(fill, room) : 0,
                     moved ? flip : 0, pixels);
      k += group;
    }
    if (staged) copy_rows(stage, kLine, place, pixel_bytes, channels * to_size_, pixels);
  });
}

void Converter::unpack(const uint8_t* from, uint8_t* to) const {
  const uint64_t planes = to_.layout.block_step;
  const uint64_t pixel_bytes = from_.layout.width_step * from_size_;
  const bool moved = same_type_ || byte_way_ == ByteWay::kFlip;
  const uint8_t flip = same_type_ ? 0 : kSign;
  if (moved && from_.layout.channels == from_.layout.width_step && pixel_bytes > kVector) {
    return unpack_wide(from, to, flip);
  }
  const bool whole = moved && pixel_bytes <= kVector;
  const bool staged = conflicting(pixel_bytes);  // pixels that lie apart are brought together first
  const uint64_t tile = from_.layout.channels <= kFew && !staged ? kTile * kTileChannels / kFew : kTile;
  alignas(kLine) uint8_t values[kTile * kTileChannels * kWidest];
  alignas(kLine) uint8_t stage[kTile * kLine];
  parts(whole ? pixels_ : tile, [&](const Piece& piece, uint64_t p, uint64_t pixels) {
    const uint64_t channels = piece.channels;
    const uint8_t* source = from + piece.from * from_size_ + p * pixel_bytes;
    uint64_t step = from_.layout.width_step;
    if (staged) {
      copy_rows(source, pixel_bytes, stage, kLine, channels * from_size_, pixels);
      source = stage;
      step = kLine / from_size_;
    }
    if (moved) {
      uint8_t* target = to + (piece.to + p) * to_size_;
      return kernels().unpack(from_size_, source, step, target, planes, channels, flip, pixels);
    }
    for (uint64_t k = 0; k < channels;) {
      const uint64_t group = std::min<uint64_t>(channels - k, kTileChannels);
      uint8_t* target = to + (piece.to + p + k * planes) * to_size_;
      kernels().unpack(from_size_, source + k * from_size_, step, values, tile, group, 0, pixels);
      for (uint64_t i = 0; i < group; ++i) {
        elements(values + i * tile * from_size_, target + i * planes * to_size_, pixels);
      }
      k += group;
    }
  });
}

// NHWC of many channels to planes, as it is. Where the lines of pixels displace each other in the nearest cache, it is
// done by columns of channels, which begin with a line of every pixel.
void Converter::unpack_wide(const uint8_t* from, uint8_t* to, uint8_t flip) const {
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  const bool apart = conflicting(a.width_step * from_size_);
  const uint64_t column = apart ? kColumn / from_size_ : a.channels;
  const uint64_t before = apart ? reinterpret_cast<uintptr_t>(from) % kLine / from_size_ : 0;
  for (uint64_t n = 0; n < a.batch; ++n) {
    for (uint64_t h = 0; h < planes_; ++h) {
      for (uint64_t c = 0, end = 0; c < a.channels; c = end) {
        end = c + column - (c ? 0 : before);
        if (end + kTileChannels > a.channels) end = a.channels;
        kernels().unpack(from_size_, from + a.at(n, c, h, 0) * from_size_, a.width_step,
                         to + b.at(n, c, h, 0) * to_size_, b.block_step, end - c, flip, pixels_);
      }
    }
  }
}

// Between layouts that both have channels beside each other.
void Converter::repack(const uint8_t* from, uint8_t* to) const {
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  if (a.channel_block == a.channels && b.channel_block == b.channels) {  // NHWC on both sides: rows
    for (uint64_t n = 0; n < a.batch; ++n) {
      for (uint64_t h = 0; h < planes_; ++h) {
        const uint8_t* source = from + a.at(n, 0, h, 0) * from_size_;
        uint8_t* target = to + b.at(n, 0, h, 0) * to_size_;
        if (same_type_) {
          std::memcpy(target, source, pixels_ * a.channels * to_size_);
        } else {
          elements(source, target, pixels_ * a.channels);
        }
      }
    }
    return;
  }
  alignas(kLine) uint8_t given[kTile * kLine], made[kTile * kLine];
  const uint64_t from_step = a.width_step * from_size_, to_step = b.width_step * to_size_;
  parts(kTile, [&](const Piece& piece, uint64_t p, uint64_t pixels) {
    const uint64_t channels = piece.channels;
    const uint8_t* source = from + piece.from * from_size_ + p * from_step;
    uint8_t* target = to + piece.to * to_size_ + p * to_step;
    if (same_type_) {
      copy_rows(source, from_step, target, to_step, channels * to_size_, pixels);
    } else {
      copy_rows(source, from_step, given, channels * from_size_, channels * from_size_, pixels);
      elements(given, made, pixels * channels);
      copy_rows(made, channels * to_size_, target, to_step, channels * to_size_, pixels);
    }
    for (uint64_t i = 0; piece.fill && i < pixels; ++i) {
      std::memset(target + i * to_step + channels * to_size_, 0, piece.fill * to_size_);
    }
  });
}

}  // namespace rknn_ep::tensor
