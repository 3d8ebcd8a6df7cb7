#include "simulator/matmul_layout.h"

#include <algorithm>
#include <cstring>

#include "bundle/half.h"
#include "simulator/failure.h"
#include "tensor/convert.h"
#include "tensor/wide.h"

namespace rknn_ep::simulator {
namespace {

constexpr rknn_tensor_type kHalf = RKNN_TENSOR_FLOAT16, kFloat = RKNN_TENSOR_FLOAT32, kInt4 = RKNN_TENSOR_INT4,
                           kInt8 = RKNN_TENSOR_INT8, kInt16 = RKNN_TENSOR_INT16, kInt32 = RKNN_TENSOR_INT32;

int64_t parts(int64_t whole, int64_t part) { return (whole + part - 1) / part; }

bool small_blocks(const Soc& soc) { return soc.name == "rk3566" || soc.name == "rk3568"; }
bool large_tiles(const Soc& soc) { return soc.name == "rk3576" || soc.name == "rk3588"; }

// Columns of A or C that lie beside each other: 16 bytes, 8 on RK3566 and RK3568 for what is read; results of 32 bits
// and more are in blocks of 4, of 16 bits in blocks of 8.
int64_t feature_block(rknn_tensor_type type, bool result, const Soc& soc) {
  const int64_t bits = type == kInt4 ? 4 : static_cast<int64_t>(tensor::element_bytes(type)) * 8;
  const int64_t block_bits = small_blocks(soc) && !(result && bits == 32) ? 64 : 128;
  return block_bits / bits;
}

template <typename Visit>
void each_element(const MatrixLayout& layout, bool transposed, Visit visit) {
  const int64_t outer = transposed ? layout.columns : layout.rows, inner = transposed ? layout.rows : layout.columns;
  for (int64_t i = 0; i < outer; ++i) {
    for (int64_t j = 0; j < inner; ++j) visit(transposed ? layout.at(j, i) : layout.at(i, j));
  }
}

// Two int4 lie in a byte, the first in its low half.
int8_t nibble(const uint8_t* memory, uint64_t at) {
  const int value = memory[at / 2] >> (at % 2 * 4) & 15;
  return static_cast<int8_t>(value < 8 ? value : value - 16);
}

}  // namespace

MatmulTypes matmul_types(int type, const Soc& soc) {
  static constexpr struct {
    int number;
    MatmulTypes types;
  } kTypes[] = {{RKNN_FLOAT16_MM_FLOAT16_TO_FLOAT32, {kHalf, kHalf, kFloat}},
                {RKNN_INT8_MM_INT8_TO_INT32, {kInt8, kInt8, kInt32}},
                {RKNN_INT8_MM_INT8_TO_INT8, {kInt8, kInt8, kInt8}},
                {RKNN_FLOAT16_MM_FLOAT16_TO_FLOAT16, {kHalf, kHalf, kHalf}},
                {RKNN_FLOAT16_MM_INT8_TO_FLOAT32, {kHalf, kInt8, kFloat}},
                {RKNN_FLOAT16_MM_INT8_TO_FLOAT16, {kHalf, kInt8, kHalf}},
                {RKNN_FLOAT16_MM_INT4_TO_FLOAT32, {kHalf, kInt4, kFloat}},
                {RKNN_FLOAT16_MM_INT4_TO_FLOAT16, {kHalf, kInt4, kHalf}},
                {RKNN_INT8_MM_INT8_TO_FLOAT32, {kInt8, kInt8, kFloat}},
                {RKNN_INT4_MM_INT4_TO_INT16, {kInt4, kInt4, kInt16}},
                {RKNN_INT8_MM_INT4_TO_INT32, {kInt8, kInt4, kInt32}},
                {RKNN_FLOAT16_MM_INT4_TO_BFLOAT16, {kHalf, kInt4, RKNN_TENSOR_BFLOAT16}},
                {RKNN_INT8_MM_INT4_TO_FLOAT16, {kInt8, kInt4, kHalf}}};
  for (const auto& known : kTypes) {
    if (known.number != type) continue;
    if (known.types.a == kInt4 && !large_tiles(soc)) {
      throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, soc.name + " multiplies no int4 matrices");
    }
    if (known.types.mixed() && soc.name != "rk3576") {
      throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH,
                    soc.name + " multiplies matrices of one type: only RK3576 takes A and B of different types");
    }
    return known.types;
  }
  throw Failure(RKNN_ERR_PARAM_INVALID, std::to_string(type) + " is no rknn_matmul_type");
}

std::vector<uint32_t> MatrixLayout::dims() const {
  const auto made = [](std::initializer_list<int64_t> numbers) {
    return std::vector<uint32_t>(numbers.begin(), numbers.end());
  };
  switch (kind) {
    case Kind::kColumns:
      return made({columns, rows});
    case Kind::kFeature:
      return made({parts(columns, block), rows, block});
    case Kind::kWeight:
      return made({parts(columns, sub_n), parts(rows, sub_k), sub_n, sub_k});
    default:
      return made({rows, columns});
  }
}

uint64_t MatrixLayout::elements() const {
  uint64_t product = 1;
  for (const uint32_t dim : dims()) product *= dim;
  return product;
}

uint64_t MatrixLayout::bytes() const {
  return type == kInt4 ? (elements() + 1) / 2 : elements() * tensor::element_bytes(type);
}

uint64_t MatrixLayout::at(int64_t row, int64_t column) const {
  int64_t place = 0;
  switch (kind) {
    case Kind::kColumns:
      place = column * rows + row;
      break;
    case Kind::kFeature:
      place = (column / block * rows + row) * block + column % block;
      break;
    case Kind::kWeight: {
      const int64_t first = row / segment * segment;  // rows before this segment
      const int64_t within = row - first;
      const int64_t tiles = parts(std::min(segment, rows - first), sub_k);
      const int64_t before = parts(columns, sub_n) * sub_n * first;
      place = before + ((column / sub_n * tiles + within / sub_k) * sub_n + column % sub_n) * sub_k + within % sub_k;
      break;
    }
    default:
      place = row * columns + column;
  }
  return static_cast<uint64_t>(place);
}

MatrixLayout layout_of_a(const rknn_matmul_shape& shape, const MatmulTypes& types, bool native, const Soc& soc) {
  MatrixLayout layout;
  layout.rows = shape.M, layout.columns = shape.K, layout.type = types.a;
  if (native) {
    layout.kind = MatrixLayout::Kind::kFeature;
    layout.block = feature_block(types.a, false, soc);
  }
  return layout;
}

MatrixLayout layout_of_c(const rknn_matmul_shape& shape, const MatmulTypes& types, bool native, const Soc& soc) {
  MatrixLayout layout;
  layout.rows = shape.M, layout.columns = shape.N, layout.type = types.c;
  if (native) {
    layout.kind = MatrixLayout::Kind::kFeature;
    layout.block = feature_block(types.c, true, soc);
  }
  return layout;
}

MatrixLayout layout_of_b(const rknn_matmul_shape& shape, const MatmulTypes& types, int layout_number, const Soc& soc) {
  MatrixLayout layout;
  layout.rows = shape.K, layout.columns = shape.N, layout.type = types.b;
  if (layout_number == RKNN_MM_LAYOUT_TP_NORM) layout.kind = MatrixLayout::Kind::kColumns;
  if (layout_number != RKNN_MM_LAYOUT_NATIVE) return layout;
  layout.kind = MatrixLayout::Kind::kWeight;
  layout.sub_k = 32;
  // Matrices of two types lie as B would if it had the type of A.
  if (types.a == kInt4) {
    layout.sub_n = 64;
  } else if (types.a == kInt8) {
    layout.sub_n = large_tiles(soc) ? 32 : 16;
  } else {
    layout.sub_n = large_tiles(soc) ? 16 : 8;
    if (small_blocks(soc)) layout.sub_k = 16;
  }
  layout.segment = soc.name == "rk3576" ? 4096 : soc.name == "rk3588" ? 8192 : INT32_MAX / 32 * 32;
  return layout;
}

std::vector<int8_t> read_integers(const MatrixLayout& layout, const uint8_t* memory, bool transposed) {
  std::vector<int8_t> values;
  values.reserve(static_cast<size_t>(layout.rows * layout.columns));
  each_element(layout, transposed, [&](uint64_t at) {
    values.push_back(layout.type == kInt4 ? nibble(memory, at) : static_cast<int8_t>(memory[at]));
  });
  return values;
}

std::vector<float> read_reals(const MatrixLayout& layout, const uint8_t* memory, bool transposed) {
  if (layout.type != kHalf) {
    const std::vector<int8_t> integers = read_integers(layout, memory, transposed);
    return {integers.begin(), integers.end()};
  }
  std::vector<float> values;
  values.reserve(static_cast<size_t>(layout.rows * layout.columns));
  each_element(layout, transposed, [&](uint64_t at) {
    uint16_t half = 0;
    std::memcpy(&half, memory + at * 2, sizeof(half));
    values.push_back(half_to_float(half));
  });
  return values;
}

void write_element(const MatrixLayout& layout, uint8_t* memory, int64_t row, int64_t column, double value) {
  const uint64_t at = layout.at(row, column);
  if (layout.type == kInt4) {
    const int code = std::clamp(static_cast<int>(value), -8, 7) & 15;
    uint8_t& byte = memory[at / 2];
    byte = static_cast<uint8_t>(at % 2 ? (byte & 15) | code << 4 : (byte & 0xf0) | code);
    return;
  }
  tensor::Side side;
  side.type = layout.type;
  tensor::encode_one(side, value, memory + at * tensor::element_bytes(layout.type));
}

void relay(const MatrixLayout& from, const uint8_t* source, const MatrixLayout& to, uint8_t* target) {
  std::memset(target, 0, to.bytes());
  if (from.type == kInt4) {
    const std::vector<int8_t> values = read_integers(from, source, false);
    for (int64_t r = 0; r < from.rows; ++r) {
      for (int64_t c = 0; c < from.columns; ++c) {
        write_element(to, target, r, c, values[static_cast<size_t>(r * from.columns + c)]);
      }
    }
    return;
  }
  const size_t bytes = tensor::element_bytes(from.type);
  for (int64_t r = 0; r < from.rows; ++r) {
    for (int64_t c = 0; c < from.columns; ++c) {
      std::memcpy(target + to.at(r, c) * bytes, source + from.at(r, c) * bytes, bytes);
    }
  }
}

}  // namespace rknn_ep::simulator
