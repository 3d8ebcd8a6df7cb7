#include "tensor/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "tensor/kernels.h"

namespace rknn_ep::tensor {
namespace {

constexpr size_t kTile = 256;  // pixels that are converted and moved at a time: they stay in the nearest cache
constexpr size_t kTileChannels = 16;
constexpr size_t kWidePixels = 128;  // where pixels are wider than that
constexpr size_t kBytes = 256;
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
  if (affine_.a == 1 && std::abs(affine_.b) == 128) return ByteWay::kDivide;  // the sign bit alone: faster still
  uint8_t all[kBytes], divided[kBytes], multiplied[kBytes];
  for (size_t i = 0; i < kBytes; ++i) all[i] = static_cast<uint8_t>(i);
  kernels().elements(from_, to_, all, divided, kBytes);
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

void Converter::pack(const uint8_t* from, uint8_t* to) const {
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  const bool padded = b.channel_block != b.channels;   // NC1HWC2: the last block is filled up
  const uint64_t step = same_type_ ? pixels_ : kTile;  // moved as they are, elements need no cache
  alignas(32) uint8_t scratch[kTileChannels * kTile * kWidest];
  for (uint64_t n = 0; n < a.batch; ++n) {
    for (uint64_t h = 0; h < planes_; ++h) {
      for (uint64_t p = 0; p < pixels_; p += step) {
        const uint64_t count = std::min(step, pixels_ - p);
        for (uint64_t c = 0; c < a.channels;) {
          const uint64_t rest = std::min(b.channel_block - c % b.channel_block, a.channels - c);
          const uint64_t group = std::min<uint64_t>(rest, kTileChannels);
          const bool last = c + group == a.channels;
          const uint64_t fill = last && padded ? b.channel_block - c % b.channel_block - group : 0;
          const uint8_t* source = from + (a.at(n, c, h, 0) + p) * from_size_;
          uint8_t* target = to + (b.at(n, c, h, 0) + p * b.width_step) * to_size_;
          size_t plane_step = a.block_step;
          if (!same_type_) {
            for (uint64_t k = 0; k < group; ++k) {
              elements(source + k * a.block_step * from_size_, scratch + k * kTile * to_size_, count);
            }
            source = scratch;
            plane_step = kTile;
          }
          kernels().pack(to_size_, source, plane_step, target, b.width_step, group, fill, count);
          c += group;
        }
      }
    }
  }
}

void Converter::unpack(const uint8_t* from, uint8_t* to) const {
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  // Where a pixel's channels fill several lines of the nearest cache, these must still be there for the next group.
  const uint64_t step = a.width_step > kTileChannels ? kWidePixels : same_type_ ? pixels_ : kTile;
  alignas(32) uint8_t scratch[kTileChannels * kTile * kWidest];
  for (uint64_t n = 0; n < a.batch; ++n) {
    for (uint64_t h = 0; h < planes_; ++h) {
      for (uint64_t p = 0; p < pixels_; p += step) {
        const uint64_t count = std::min(step, pixels_ - p);
        for (uint64_t c = 0; c < a.channels;) {
          const uint64_t group =
              std::min<uint64_t>({a.channel_block - c % a.channel_block, a.channels - c, kTileChannels});
          const uint8_t* source = from + (a.at(n, c, h, 0) + p * a.width_step) * from_size_;
          uint8_t* target = to + (b.at(n, c, h, 0) + p) * to_size_;
          if (same_type_) {
            kernels().unpack(from_size_, source, a.width_step, target, b.block_step, group, count);
          } else {
            kernels().unpack(from_size_, source, a.width_step, scratch, kTile, group, count);
            for (uint64_t k = 0; k < group; ++k) {
              elements(scratch + k * kTile * from_size_, target + k * b.block_step * to_size_, count);
            }
          }
          c += group;
        }
      }
    }
  }
}

// Between layouts that both have channels beside each other.
void Converter::repack(const uint8_t* from, uint8_t* to) const {
  const Layout& a = from_.layout;
  const Layout& b = to_.layout;
  const bool whole = a.channel_block == a.channels && b.channel_block == b.channels;
  for (uint64_t n = 0; n < a.batch; ++n) {
    for (uint64_t h = 0; h < a.height; ++h) {
      if (whole) {  // NHWC on both sides: rows
        const uint8_t* source = from + a.at(n, 0, h, 0) * from_size_;
        uint8_t* target = to + b.at(n, 0, h, 0) * to_size_;
        if (same_type_) {
          std::memcpy(target, source, a.width * a.channels * to_size_);
        } else {
          elements(source, target, a.width * a.channels);
        }
        continue;
      }
      for (uint64_t c = 0; c < a.channels;) {
        const uint64_t group = std::min<uint64_t>(
            {a.channel_block - c % a.channel_block, b.channel_block - c % b.channel_block, a.channels - c});
        const bool last = c + group == a.channels && b.channel_block != b.channels;
        const uint64_t fill = last ? b.channel_block - c % b.channel_block - group : 0;
        for (uint64_t w = 0; w < a.width; ++w) {
          const uint8_t* source = from + a.at(n, c, h, w) * from_size_;
          uint8_t* target = to + b.at(n, c, h, w) * to_size_;
          if (same_type_) {
            std::memcpy(target, source, group * to_size_);
          } else {
            elements(source, target, group);
          }
          if (fill) std::memset(target + group * to_size_, 0, fill * to_size_);
        }
        c += group;
      }
    }
  }
}

}  // namespace rknn_ep::tensor
