// SHA-256 (FIPS 180-4): a vendor .rknn names its companion by the digest of what is simulated.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "bundle/archive.h"

namespace rknn_ep::simulator {

class Sha256 {
 public:
  void add(Bytes bytes);
  // 64 hexadecimal digits; the object is spent then.
  std::string digest();

 private:
  void block(const uint8_t* bytes);

  std::array<uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<uint8_t, 64> pending_{};
  size_t waiting_ = 0;
  uint64_t total_ = 0;
};

}  // namespace rknn_ep::simulator
