// The matrices of the matrix multiplication API: their types, and where their elements lie. Source of the native
// layouts: Rockchip's user guide, "high-performance data arrangement" (A, B and C of each SoC; quotients are rounded
// up, what is left over is 0), and the comments of the interface on splitting K.
#pragma once

#include <cstdint>
#include <vector>

#include "abi/rknn_matmul_api.h"
#include "simulator/soc.h"

namespace rknn_ep::simulator {

// The element types of one rknn_matmul_type.
struct MatmulTypes {
  rknn_tensor_type a, b, c;
  bool mixed() const { return a != b; }
};

// Throws Failure: RKNN_ERR_PARAM_INVALID for a number that is no type, RKNN_ERR_TARGET_PLATFORM_UNMATCH for what the
// SoC has not.
MatmulTypes matmul_types(int type, const Soc& soc);

// One matrix of `rows` by `columns` in memory. `dims` is what programs are told.
struct MatrixLayout {
  enum class Kind { kRows, kColumns, kFeature, kWeight };

  Kind kind = Kind::kRows;
  int64_t rows = 0, columns = 0;
  int64_t block = 1;             // kFeature: columns beside each other
  int64_t sub_n = 1, sub_k = 1;  // kWeight: B in tiles
  int64_t segment = 0;           // kWeight: rows of a segment; each is laid out on its own
  rknn_tensor_type type{};

  std::vector<uint32_t> dims() const;
  uint64_t elements() const;
  uint64_t bytes() const;
  // Place of an element, counted in elements.
  uint64_t at(int64_t row, int64_t column) const;
};

MatrixLayout layout_of_a(const rknn_matmul_shape& shape, const MatmulTypes& types, bool native, const Soc& soc);
MatrixLayout layout_of_b(const rknn_matmul_shape& shape, const MatmulTypes& types, int layout, const Soc& soc);
MatrixLayout layout_of_c(const rknn_matmul_shape& shape, const MatmulTypes& types, bool native, const Soc& soc);

// Elements as numbers, row by row (`transposed`: column by column). Integers fit int8_t.
std::vector<int8_t> read_integers(const MatrixLayout& layout, const uint8_t* memory, bool transposed);
std::vector<float> read_reals(const MatrixLayout& layout, const uint8_t* memory, bool transposed);

// The same matrix in another layout; padding becomes 0.
void relay(const MatrixLayout& from, const uint8_t* source, const MatrixLayout& to, uint8_t* target);

// One element into its place; integers saturate.
void write_element(const MatrixLayout& layout, uint8_t* memory, int64_t row, int64_t column, double value);

}  // namespace rknn_ep::simulator
