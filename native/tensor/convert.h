// Moves a tensor from one memory to another in any type and layout that rknn_api knows. Used on both sides of rknn_api:
// by the client in runtime/ and by the simulator.
//
// A converter is made once for a pair of memories and used for every run: it allocates nothing, may be used by several
// threads at once, and asks no alignment. Kernels are chosen for the processor when the first one is made: AVX2, NEON,
// else what the compiler's baseline has. RKNN_EP_SIMD=scalar takes plain loops, which are the reference of the tests.
#pragma once

#include <cstddef>
#include <cstdint>

#include "abi/rknn_api.h"
#include "tensor/layout.h"
#include "tensor/line.h"

namespace rknn_ep::tensor {

// One memory.
struct Side {
  rknn_tensor_type type = RKNN_TENSOR_FLOAT32;
  Layout layout;
  // INT8, UINT8, INT16 and UINT16 may be codes: (code - zero_point) * scale is the real value.
  bool codes = false;
  float scale = 1;
  int32_t zero_point = 0;
};

// Bytes of one element; 0 for types that have no whole bytes or are unknown: these are not converted.
size_t element_bytes(rknn_tensor_type type);

// Bytes of the memory of a side, padding included.
uint64_t bytes(const Side& side);

// Bytes to bytes by a straight line: x becomes a * x + b, rounded half to even and saturated.
struct Affine {
  float a = 1, b = 0;
  bool from_signed = false, to_signed = false;
};

// Values stay what they are: a real value becomes a code as QuantizeLinear defines it (half to even, saturating), a
// code becomes a real value as DequantizeLinear does, a value that the type cannot hold saturates, NaN becomes the
// lowest number of an integer type, and what is not zero is true. The padding of rows is not written; the channels that
// fill up the last block of NC1HWC2 are set to zero.
class Converter {
 public:
  // Throws std::invalid_argument where the sides have different shapes or a type that is not converted.
  Converter(const Side& from, const Side& to);

  // Whether both memories hold the same bytes, so that one could stand for the other.
  bool identical() const { return identical_; }
  void operator()(const void* from, void* to) const;

 private:
  enum class Way { kCopy, kRows, kPack, kUnpack, kRepack };

  // Dividing is slow; for 256 codes one can see whether something faster does the same.
  enum class ByteWay { kDivide, kFlip, kAffine, kLine };
  ByteWay fit_bytes();
  void elements(const uint8_t* from, uint8_t* to, uint64_t count) const;
  uint64_t together(uint64_t c, uint64_t end) const;
  // Channels that lie beside each other on both sides: where their first pixels are, in elements, how many there are,
  // and how many zeros follow them.
  struct Piece {
    uint64_t from, to, channels, fill;
  };
  // Calls part(piece, first pixel, pixels) for every piece, of at most so many pixels at a time.
  template <typename Part>
  void parts(uint64_t pixels, const Part& part) const;
  void rows(const uint8_t* from, uint8_t* to) const;
  void pack(const uint8_t* from, uint8_t* to) const;
  void unpack(const uint8_t* from, uint8_t* to) const;
  void unpack_wide(const uint8_t* from, uint8_t* to, uint8_t flip) const;
  void repack(const uint8_t* from, uint8_t* to) const;

  Side from_;
  Side to_;
  size_t from_size_;
  size_t to_size_;
  bool same_type_;
  bool identical_;
  ByteWay byte_way_;
  Affine affine_;
  Line line_;
  Way way_;
  uint64_t planes_;  // rows of height and width that are walked as one: 1, or the height
  uint64_t pixels_;  // elements of such a row
};

}  // namespace rknn_ep::tensor
