#include "simulator/sha256.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace rknn_ep::simulator {
namespace {

constexpr int kRounds = 64;

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
std::array<uint32_t, kRounds> round_constants() {
  std::array<uint32_t, kRounds> constants{};
  int found = 0;
  for (uint32_t number = 2; found < kRounds; ++number) {
    bool prime = true;
    for (uint32_t divisor = 2; divisor * divisor <= number; ++divisor) prime = prime && number % divisor != 0;
    if (!prime) continue;
    const long double root = std::cbrt(static_cast<long double>(number));
    constants[static_cast<size_t>(found++)] = static_cast<uint32_t>((root - std::floor(root)) * 4294967296.0L);
  }
  return constants;
}

uint32_t turned(uint32_t value, int by) { return value >> by | value << (32 - by); }

}  // namespace

void Sha256::block(const uint8_t* bytes) {
  static const std::array<uint32_t, kRounds> constants = round_constants();
  uint32_t w[kRounds];
  for (int i = 0; i < 16; ++i) {
    w[i] = static_cast<uint32_t>(bytes[4 * i]) << 24 | static_cast<uint32_t>(bytes[4 * i + 1]) << 16 |
           static_cast<uint32_t>(bytes[4 * i + 2]) << 8 | bytes[4 * i + 3];
  }
  for (int i = 16; i < kRounds; ++i) {
    const uint32_t a = turned(w[i - 15], 7) ^ turned(w[i - 15], 18) ^ w[i - 15] >> 3;
    const uint32_t b = turned(w[i - 2], 17) ^ turned(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + a + w[i - 7] + b;
  }
  auto [a, b, c, d, e, f, g, h] = state_;
  for (int i = 0; i < kRounds; ++i) {
    const uint32_t one = h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & f) ^ (~e & g)) +
                         constants[static_cast<size_t>(i)] + w[i];
    const uint32_t two = (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + one, d = c, c = b, b = a, a = one + two;
  }
  const uint32_t sums[] = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < state_.size(); ++i) state_[i] += sums[i];
}

void Sha256::add(Bytes bytes) {
  total_ += bytes.size;
  while (bytes.size) {
    const size_t part = std::min(bytes.size, pending_.size() - waiting_);
    std::memcpy(pending_.data() + waiting_, bytes.data, part);
    bytes.data += part;
    bytes.size -= part;
    waiting_ += part;
    if (waiting_ == pending_.size()) {
      block(pending_.data());
      waiting_ = 0;
    }
  }
}

std::string Sha256::digest() {
  const uint64_t bits = total_ * 8;
  const uint8_t one = 0x80, zero = 0;
  add({&one, 1});
  while (waiting_ != 56) add({&zero, 1});
  uint8_t length[8];
  for (int i = 0; i < 8; ++i) length[i] = static_cast<uint8_t>(bits >> (56 - 8 * i));
  add({length, 8});
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint32_t word : state_) {
    for (int shift = 28; shift >= 0; shift -= 4) text.push_back(kDigits[word >> shift & 15]);
  }
  return text;
}

}  // namespace rknn_ep::simulator
