// Compares the vector kernels of this machine with the scalar ones on random
// memories: for processors whose Python is not at hand, such as aarch64 under
// an emulator. Prints what differs; leaves with the number of differences.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <random>
#include <vector>

#include "tensor/kernels.h"

using namespace rknn_ep::tensor;

namespace {

std::mt19937 random_numbers(7);

uint32_t below(uint32_t limit) {
  return static_cast<uint32_t>(random_numbers() % limit);
}

std::vector<uint8_t> noise(size_t bytes) {
  std::vector<uint8_t> made(bytes);
  for (uint8_t &byte : made)
    byte = static_cast<uint8_t>(random_numbers());
  return made;
}

bool same_numbers(const Side &side, const std::vector<uint8_t> &a,
                  const std::vector<uint8_t> &b) {
  if (a == b)
    return true;
  if (side.type != RKNN_TENSOR_FLOAT32 && side.type != RKNN_TENSOR_FLOAT16)
    return false;
  for (size_t i = 0; i < a.size();
       i += element_bytes(side.type)) { // NaN is NaN, whatever its bits
    uint32_t x = 0, y = 0;
    std::memcpy(&x, &a[i], element_bytes(side.type));
    std::memcpy(&y, &b[i], element_bytes(side.type));
    const bool half = side.type == RKNN_TENSOR_FLOAT16;
    const auto is_nan = [half](uint32_t v) {
      return half ? (v & 0x7fff) > 0x7c00 : (v & 0x7fffffff) > 0x7f800000;
    };
    if (x != y && !(is_nan(x) && is_nan(y)))
      return false;
  }
  return true;
}

int compare_lines() {
  int wrong = 0;
  for (int round = 0; round < 3000; ++round) {
    Line line;
    line.factor = static_cast<uint16_t>(below(1 << 16));
    (below(2) ? line.add : line.subtract) =
        static_cast<uint16_t>(below(1 << 16));
    const uint32_t low = below(3);
    line.low_mask = low ? 0xff : 0;
    line.low_flip = low == 2 ? 0xff : 0;
    line.from_flip = below(2) ? 0x80 : 0;
    line.to_flip = below(2) ? 0x80 : 0;
    const size_t count = below(200);
    const std::vector<uint8_t> given = noise(count);
    std::vector<uint8_t> plain(count), made(count), widest(count);
    kScalarKernels.line(line, given.data(), plain.data(), count);
    kVectorKernels.line(line, given.data(), made.data(), count);
    kernels().line(line, given.data(), widest.data(), count);
    if (plain != made || plain != widest) {
      std::printf("line: factor %d, %zu bytes\n", line.factor, count);
      ++wrong;
    }
  }
  return wrong;
}

int compare_elements() {
  int wrong = 0;
  for (int round = 0; round < 3000; ++round) {
    Side from, to;
    for (Side *side : {&from, &to}) {
      side->type = static_cast<rknn_tensor_type>(below(10));
      side->codes = (side->type >= RKNN_TENSOR_INT8 &&
                     side->type <= RKNN_TENSOR_UINT16) &&
                    below(2);
      side->scale = std::ldexp(1.0f + static_cast<float>(below(1000)) / 1000,
                               static_cast<int>(below(8)) - 5);
      side->zero_point = static_cast<int32_t>(below(256)) - 128;
    }
    const size_t count = 1 + below(700);
    const std::vector<uint8_t> source = noise(count * element_bytes(from.type));
    std::vector<uint8_t> plain(count * element_bytes(to.type)),
        fast(plain.size());
    kScalarKernels.elements(from, to, source.data(), plain.data(), count);
    kVectorKernels.elements(from, to, source.data(), fast.data(), count);
    if (!same_numbers(to, plain, fast)) {
      std::printf("elements: type %d to %d, %zu\n", from.type, to.type, count);
      ++wrong;
    }
  }
  return wrong;
}

int compare_layouts() {
  int wrong = 0;
  for (int round = 0; round < 3000; ++round) {
    const size_t many = below(2) ? 32 : 17 + below(60);
    const size_t bytes = size_t{1} << below(4), channels = below(6) ? 1 + below(16) : many,
                 fill = below(3) || channels > 16 ? below(2) * below(9)
                                            : 16 - channels;
    const size_t step = channels + fill + below(3), pixels = 1 + below(300),
                 plane_step = pixels + below(5);
    const uint8_t flip = bytes == 1 && below(2) ? 0x80 : 0;
    const std::vector<uint8_t> planes = noise(channels * plane_step * bytes);
    std::vector<uint8_t> plain(((pixels - 1) * step + channels + fill) * bytes),
        fast(plain.size()), widest(plain.size());
    kScalarKernels.pack(bytes, planes.data(), plane_step, plain.data(), step,
                        channels, fill, flip, pixels);
    kVectorKernels.pack(bytes, planes.data(), plane_step, fast.data(), step,
                        channels, fill, flip, pixels);
    kernels().pack(bytes, planes.data(), plane_step, widest.data(), step,
                   channels, fill, flip, pixels);
    std::vector<uint8_t> back(planes.size()), again(planes.size()),
        once_more(planes.size());
    kScalarKernels.unpack(bytes, plain.data(), step, back.data(), plane_step,
                          channels, flip, pixels);
    kVectorKernels.unpack(bytes, plain.data(), step, again.data(), plane_step,
                          channels, flip, pixels);
    kernels().unpack(bytes, plain.data(), step, once_more.data(), plane_step,
                     channels, flip, pixels);
    if (plain != fast || plain != widest || back != again ||
        back != once_more) {
      std::printf(
          "layout: %zu bytes, %zu channels, fill %zu, step %zu, %zu pixels\n",
          bytes, channels, fill, step, pixels);
      ++wrong;
    }
  }
  return wrong;
}

} // namespace

int main() {
  return compare_elements() + compare_layouts() + compare_lines() ? 1 : 0;
}
