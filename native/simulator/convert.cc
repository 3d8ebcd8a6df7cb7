#include "simulator/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "bundle/half.h"

namespace rknn_ep::simulator {
namespace {

// Where the rows of a tensor lie in a program's memory; every number counts elements.
struct Rows {
  uint64_t batch = 1, channels = 1, height = 1, width = 1;
  uint64_t batch_step = 0, height_step = 0, width_step = 0;
  uint64_t channel_block = 1, block_step = 0;  // channel c begins at c / block * block_step + c % block * inner_step
  uint64_t inner_step = 0;
  uint64_t total = 0;

  uint64_t row(uint64_t n, uint64_t c, uint64_t h) const {
    return n * batch_step + c / channel_block * block_step + c % channel_block * inner_step + h * height_step;
  }
};

Rows rows_of(const Tensor& tensor, const Placement& placement) {
  Rows rows;
  if (!tensor.is_image()) {
    rows.width = rows.total = tensor.elements;
    rows.width_step = 1;
    return rows;
  }
  rows.batch = static_cast<uint64_t>(tensor.dims[0]);
  rows.channels = static_cast<uint64_t>(tensor.dims[1]);
  rows.height = static_cast<uint64_t>(tensor.dims[2]);
  rows.width = static_cast<uint64_t>(tensor.dims[3]);
  if (placement.format == RKNN_TENSOR_NHWC) {
    const uint64_t stride = std::max<uint64_t>(placement.width_stride, rows.width);
    rows.width_step = rows.channels;
    rows.height_step = stride * rows.channels;
    rows.batch_step = rows.height * rows.height_step;
    rows.block_step = 1;
  } else if (placement.format == RKNN_TENSOR_NC1HWC2) {
    rows.channel_block = std::max<uint32_t>(1, placement.channel_block);
    rows.inner_step = 1;
    rows.width_step = rows.channel_block;
    rows.height_step = rows.width * rows.channel_block;
    rows.block_step = rows.height * rows.height_step;
    rows.batch_step = (rows.channels + rows.channel_block - 1) / rows.channel_block * rows.block_step;
  } else {
    rows.width_step = 1;
    rows.height_step = rows.width;
    rows.block_step = rows.height * rows.width;
    rows.batch_step = rows.channels * rows.block_step;
  }
  rows.total = rows.batch * rows.batch_step;
  return rows;
}

template <typename T>
T load(const uint8_t* base, uint64_t index) {
  T value;
  std::memcpy(&value, base + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void store(uint8_t* base, uint64_t index, T value) {
  std::memcpy(base + index * sizeof(T), &value, sizeof(T));
}

// Rounds half to even and saturates; NaN becomes 0.
template <typename T>
T to_integer(double value) {
  if (std::isnan(value)) return 0;
  const double rounded = std::nearbyint(value);
  if (rounded <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
  if (rounded >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
  return static_cast<T>(rounded);
}

template <typename T>
void read_numbers(const uint8_t* base, uint64_t at, uint64_t step, uint64_t count, double* values) {
  for (uint64_t i = 0; i < count; ++i) values[i] = static_cast<double>(load<T>(base, at + i * step));
}

template <typename T>
void write_integers(uint8_t* base, uint64_t at, uint64_t step, uint64_t count, const double* values) {
  for (uint64_t i = 0; i < count; ++i) store<T>(base, at + i * step, to_integer<T>(values[i]));
}

void read_row(rknn_tensor_type type, const uint8_t* base, uint64_t at, uint64_t step, uint64_t count, double* values) {
  switch (type) {
    case RKNN_TENSOR_FLOAT32:
      return read_numbers<float>(base, at, step, count, values);
    case RKNN_TENSOR_FLOAT16:
      for (uint64_t i = 0; i < count; ++i) values[i] = half_to_float(load<uint16_t>(base, at + i * step));
      return;
    case RKNN_TENSOR_INT8:
      return read_numbers<int8_t>(base, at, step, count, values);
    case RKNN_TENSOR_UINT8:
      return read_numbers<uint8_t>(base, at, step, count, values);
    case RKNN_TENSOR_INT16:
      return read_numbers<int16_t>(base, at, step, count, values);
    case RKNN_TENSOR_UINT16:
      return read_numbers<uint16_t>(base, at, step, count, values);
    case RKNN_TENSOR_INT32:
      return read_numbers<int32_t>(base, at, step, count, values);
    case RKNN_TENSOR_UINT32:
      return read_numbers<uint32_t>(base, at, step, count, values);
    case RKNN_TENSOR_INT64:
      return read_numbers<int64_t>(base, at, step, count, values);
    default:
      for (uint64_t i = 0; i < count; ++i) values[i] = load<uint8_t>(base, at + i * step) ? 1 : 0;
  }
}

void write_row(rknn_tensor_type type, uint8_t* base, uint64_t at, uint64_t step, uint64_t count, const double* values) {
  switch (type) {
    case RKNN_TENSOR_FLOAT32:
      for (uint64_t i = 0; i < count; ++i) store(base, at + i * step, static_cast<float>(values[i]));
      return;
    case RKNN_TENSOR_FLOAT16:
      for (uint64_t i = 0; i < count; ++i) store(base, at + i * step, float_to_half(static_cast<float>(values[i])));
      return;
    case RKNN_TENSOR_INT8:
      return write_integers<int8_t>(base, at, step, count, values);
    case RKNN_TENSOR_UINT8:
      return write_integers<uint8_t>(base, at, step, count, values);
    case RKNN_TENSOR_INT16:
      return write_integers<int16_t>(base, at, step, count, values);
    case RKNN_TENSOR_UINT16:
      return write_integers<uint16_t>(base, at, step, count, values);
    case RKNN_TENSOR_INT32:
      return write_integers<int32_t>(base, at, step, count, values);
    case RKNN_TENSOR_UINT32:
      return write_integers<uint32_t>(base, at, step, count, values);
    case RKNN_TENSOR_INT64:
      return write_integers<int64_t>(base, at, step, count, values);
    default:
      for (uint64_t i = 0; i < count; ++i) store<uint8_t>(base, at + i * step, values[i] != 0 ? 1 : 0);
  }
}

// Same type on both sides: bits move, nothing is computed.
template <typename Move>
void move_elements(const Rows& rows, Move move) {
  uint64_t contiguous = 0;
  for (uint64_t n = 0; n < rows.batch; ++n) {
    for (uint64_t c = 0; c < rows.channels; ++c) {
      for (uint64_t h = 0; h < rows.height; ++h, contiguous += rows.width) move(rows.row(n, c, h), contiguous);
    }
  }
}

template <typename T>
void gather(const Rows& rows, const uint8_t* from, uint8_t* session) {
  move_elements(rows, [&](uint64_t placed, uint64_t contiguous) {
    for (uint64_t w = 0; w < rows.width; ++w) {
      store<T>(session, contiguous + w, load<T>(from, placed + w * rows.width_step));
    }
  });
}

template <typename T>
void scatter(const Rows& rows, const uint8_t* session, uint8_t* to) {
  move_elements(rows, [&](uint64_t placed, uint64_t contiguous) {
    for (uint64_t w = 0; w < rows.width; ++w) {
      store<T>(to, placed + w * rows.width_step, load<T>(session, contiguous + w));
    }
  });
}

void gather_bits(size_t bytes, const Rows& rows, const uint8_t* from, uint8_t* session) {
  switch (bytes) {
    case 1:
      return gather<uint8_t>(rows, from, session);
    case 2:
      return gather<uint16_t>(rows, from, session);
    case 4:
      return gather<uint32_t>(rows, from, session);
    default:
      return gather<uint64_t>(rows, from, session);
  }
}

void scatter_bits(size_t bytes, const Rows& rows, const uint8_t* session, uint8_t* to) {
  switch (bytes) {
    case 1:
      return scatter<uint8_t>(rows, session, to);
    case 2:
      return scatter<uint16_t>(rows, session, to);
    case 4:
      return scatter<uint32_t>(rows, session, to);
    default:
      return scatter<uint64_t>(rows, session, to);
  }
}

bool contiguous(const Tensor& tensor, const Rows& rows) {
  return rows.total == tensor.elements && rows.width_step == 1 &&
         (!tensor.is_image() || (rows.height_step == rows.width && rows.block_step == rows.height * rows.width));
}

}  // namespace

uint64_t placed_bytes(const Tensor& tensor, const Placement& placement) {
  return rows_of(tensor, placement).total * element_bytes(placement.type);
}

void to_session(const Tensor& tensor, const Placement& placement, const void* from, void* session) {
  const Rows rows = rows_of(tensor, placement);
  const auto* source = static_cast<const uint8_t*>(from);
  auto* target = static_cast<uint8_t*>(session);
  if (!placement.codes && placement.type == tensor.session_type && placement.type != RKNN_TENSOR_BOOL) {
    if (contiguous(tensor, rows)) {
      std::memcpy(target, source, tensor.session_bytes());
    } else {
      gather_bits(element_bytes(placement.type), rows, source, target);
    }
    return;
  }
  std::vector<double> values(rows.width);
  move_elements(rows, [&](uint64_t placed, uint64_t at) {
    read_row(placement.type, source, placed, rows.width_step, rows.width, values.data());
    if (placement.codes) {
      for (double& value : values) value = static_cast<float>(value - tensor.zero_point) * tensor.scale;
    }
    write_row(tensor.session_type, target, at, 1, rows.width, values.data());
  });
}

void from_session(const Tensor& tensor, const Placement& placement, const void* session, void* to) {
  const Rows rows = rows_of(tensor, placement);
  const auto* source = static_cast<const uint8_t*>(session);
  auto* target = static_cast<uint8_t*>(to);
  if (!placement.codes && placement.type == tensor.session_type) {
    if (contiguous(tensor, rows)) {
      std::memcpy(target, source, tensor.session_bytes());
    } else {
      scatter_bits(element_bytes(placement.type), rows, source, target);
    }
    return;
  }
  std::vector<double> values(rows.width);
  move_elements(rows, [&](uint64_t placed, uint64_t at) {
    read_row(tensor.session_type, source, at, 1, rows.width, values.data());
    if (placement.codes) {
      for (double& value : values) {
        value = std::nearbyint(static_cast<float>(value) / tensor.scale) + tensor.zero_point;
      }
    }
    write_row(placement.type, target, placed, rows.width_step, rows.width, values.data());
  });
}

}  // namespace rknn_ep::simulator
