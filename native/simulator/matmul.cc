#include "simulator/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "simulator/failure.h"
#include "simulator/guard.h"

namespace rknn_ep::simulator {
namespace {

constexpr int32_t kMostK = 10240;  // comments of the interface
constexpr int64_t kMostElements = int64_t{1} << 31;

void check_shape(const rknn_matmul_shape& shape) {
  if (shape.M < 1 || shape.K < 1 || shape.N < 1 || shape.K > kMostK || int64_t{shape.M} * shape.N > kMostElements ||
      int64_t{shape.M} * shape.K > kMostElements || int64_t{shape.K} * shape.N > kMostElements) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "M=" + std::to_string(shape.M) + ", K=" + std::to_string(shape.K) +
                                              ", N=" + std::to_string(shape.N) + ": each is at least 1, K at most " +
                                              std::to_string(kMostK));
  }
}

void check_info(const rknn_matmul_info& info) {
  if (info.B_layout < RKNN_MM_LAYOUT_NORM || info.B_layout > RKNN_MM_LAYOUT_TP_NORM) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "B_layout " + std::to_string(info.B_layout) + " is no rknn_matmul_layout");
  }
  if (info.AC_layout < RKNN_MM_LAYOUT_NORM || info.AC_layout > RKNN_MM_LAYOUT_NATIVE) {
    throw Failure(RKNN_ERR_PARAM_INVALID,
                  "AC_layout " + std::to_string(info.AC_layout) + " is neither normal nor native");
  }
  if (info.B_quant_type < RKNN_QUANT_TYPE_PER_LAYER_SYM || info.B_quant_type > RKNN_QUANT_TYPE_PER_CHANNEL_ASYM) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "B_quant_type " + std::to_string(info.B_quant_type) +
                                              ": scales by layer and by channel are simulated");
  }
}

}  // namespace

Soc matmul_soc() {
  const std::string name = simulated_soc();
  return Soc::named(name.empty() ? "rk3588" : name);
}

Matmul::Matmul(const rknn_matmul_info& info, std::vector<rknn_matmul_shape> shapes, Soc soc)
    : soc_(std::move(soc)), info_(info), types_(matmul_types(raw(info.type), soc_)), shapes_(std::move(shapes)) {
  check_info(info_);
  for (const rknn_matmul_shape& shape : shapes_) check_shape(shape);
  lay_out(0);
}

void Matmul::lay_out(size_t shape) {
  const bool native = info_.AC_layout == RKNN_MM_LAYOUT_NATIVE;
  chosen_ = shape;
  a_.layout = layout_of_a(shapes_[shape], types_, native, soc_);
  b_.layout = layout_of_b(shapes_[shape], types_, info_.B_layout, soc_);
  c_.layout = layout_of_c(shapes_[shape], types_, native, soc_);
}

rknn_matmul_io_attr Matmul::attributes(size_t shape) const {
  const bool native = info_.AC_layout == RKNN_MM_LAYOUT_NATIVE;
  const auto told = [](const char* name, const MatrixLayout& layout) {
    rknn_matmul_tensor_attr attr{};
    std::strncpy(attr.name, name, sizeof(attr.name) - 1);
    const std::vector<uint32_t> dims = layout.dims();
    attr.n_dims = static_cast<uint32_t>(dims.size());
    std::copy(dims.begin(), dims.end(), attr.dims);
    attr.size = static_cast<uint32_t>(layout.bytes());
    attr.type = layout.type;
    return attr;
  };
  return {told("A", layout_of_a(shapes_[shape], types_, native, soc_)),
          told("B", layout_of_b(shapes_[shape], types_, info_.B_layout, soc_)),
          told("C", layout_of_c(shapes_[shape], types_, native, soc_))};
}

Matmul::Matrix& Matmul::named(const char* name, size_t size) {
  const std::string text(name, strnlen(name, size));
  if (text == "A") return a_;
  if (text == "B") return b_;
  if (text == "C") return c_;
  throw Failure(RKNN_ERR_PARAM_INVALID, "no matrix is called '" + text + "': A, B or C");
}

void Matmul::bind(std::shared_ptr<Memory> memory, const rknn_matmul_tensor_attr& attr) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Matrix& matrix = named(attr.name, sizeof(attr.name));
  if (memory->size() < matrix.layout.bytes()) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "the matrix takes " + std::to_string(matrix.layout.bytes()) +
                                              " bytes, this memory has " + std::to_string(memory->size()));
  }
  matrix.memory = std::move(memory);
}

void Matmul::unbind(const Memory& memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (Matrix* matrix : {&a_, &b_, &c_}) {
    if (matrix->memory.get() == &memory) matrix->memory = nullptr;
  }
}

void Matmul::set_quantization(const rknn_quant_params& params) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Matrix& matrix = named(params.name, sizeof(params.name));
  const bool by_channel = &matrix == &b_ && (info_.B_quant_type == RKNN_QUANT_TYPE_PER_CHANNEL_SYM ||
                                             info_.B_quant_type == RKNN_QUANT_TYPE_PER_CHANNEL_ASYM);
  const int32_t wanted = by_channel ? shapes_[chosen_].N : 1;
  if (!params.scale || params.scale_len != wanted || (params.zp && params.zp_len != wanted && params.zp_len != 0)) {
    throw Failure(RKNN_ERR_PARAM_INVALID, std::string(params.name, strnlen(params.name, sizeof(params.name))) +
                                              " takes " + std::to_string(wanted) +
                                              " scales, and as many zero points or "
                                              "none");
  }
  Quantization quantization;
  const auto count = static_cast<size_t>(wanted);
  quantization.scales.assign(params.scale, params.scale + count);
  quantization.zero_points.assign(count, 0);
  if (params.zp && params.zp_len) quantization.zero_points.assign(params.zp, params.zp + count);
  for (const float scale : quantization.scales) {
    if (!(scale > 0) || !std::isfinite(scale)) throw Failure(RKNN_ERR_PARAM_INVALID, "a scale is not positive");
  }
  matrix.quantization = std::move(quantization);
}

void Matmul::get_quantization(rknn_quant_params& params, float* scale) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Quantization& quantization = named(params.name, sizeof(params.name)).quantization;
  const auto count = static_cast<int32_t>(quantization.scales.size());
  if (scale) *scale = quantization.scales.front();
  if (params.scale && params.scale_len >= count) {
    std::copy(quantization.scales.begin(), quantization.scales.end(), params.scale);
  }
  if (params.zp && params.zp_len >= count) {
    std::copy(quantization.zero_points.begin(), quantization.zero_points.end(), params.zp);
  }
  params.scale_len = params.zp_len = count;
}

void Matmul::choose(const rknn_matmul_shape& shape) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 0; i < shapes_.size(); ++i) {
    if (shapes_[i].M != shape.M || shapes_[i].K != shape.K || shapes_[i].N != shape.N) continue;
    lay_out(i);
    return;
  }
  throw Failure(RKNN_ERR_PARAM_INVALID, "M=" + std::to_string(shape.M) + ", K=" + std::to_string(shape.K) + ", N=" +
                                            std::to_string(shape.N) + " is none of the shapes it was created with");
}

void Matmul::run() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& [name, matrix] : {std::pair{"A", &a_}, {"B", &b_}, {"C", &c_}}) {
    if (!matrix->memory) {
      throw Failure(RKNN_ERR_PARAM_INVALID, std::string("rknn_matmul_set_io_mem was not called for ") + name);
    }
    if (matrix->memory->size() < matrix->layout.bytes()) {
      throw Failure(RKNN_ERR_PARAM_INVALID, std::string("the memory of ") + name + " is too small for this shape");
    }
  }
  std::memset(c_.memory->data(), 0, c_.layout.bytes());
  if (types_.a == RKNN_TENSOR_FLOAT16) {
    run_reals();
  } else {
    run_integers();
  }
}

// An integer sum as the type of C: itself, or by the scales.
double Matmul::rescaled(double sum, size_t column) const {
  if (types_.c == RKNN_TENSOR_INT32 || types_.c == RKNN_TENSOR_INT16) return sum;
  const std::vector<float>& scales = b_.quantization.scales;
  const float scale = scales[scales.size() == 1 ? 0 : column];
  const double real = sum * static_cast<double>(a_.quantization.scales[0]) * static_cast<double>(scale);
  if (types_.c != RKNN_TENSOR_INT8) return real;
  return std::nearbyint(real / static_cast<double>(c_.quantization.scales[0])) + c_.quantization.zero_points[0];
}

void Matmul::run_integers() {
  const auto [rows, inner, columns] = shapes_[chosen_];
  const std::vector<int8_t> a = read_integers(a_.layout, a_.memory->data(), false);
  const std::vector<int8_t> b = read_integers(b_.layout, b_.memory->data(), true);
  const int32_t a_zero = a_.quantization.zero_points[0];
  const std::vector<int32_t>& b_zeros = b_.quantization.zero_points;
  for (int32_t m = 0; m < rows; ++m) {
    const int8_t* row = a.data() + static_cast<size_t>(m) * static_cast<size_t>(inner);
    for (int32_t n = 0; n < columns; ++n) {
      const int8_t* column = b.data() + static_cast<size_t>(n) * static_cast<size_t>(inner);
      int32_t product = 0, row_sum = 0, column_sum = 0;  // 10240 * 128 * 128 fits
      for (int32_t k = 0; k < inner; ++k) {
        product += row[k] * column[k];
        row_sum += row[k];
        column_sum += column[k];
      }
      const int64_t b_zero = b_zeros[b_zeros.size() == 1 ? 0 : static_cast<size_t>(n)];
      const int64_t sum = product - a_zero * int64_t{column_sum} - b_zero * row_sum + int64_t{inner} * a_zero * b_zero;
      write_element(c_.layout, c_.memory->data(), m, n, rescaled(static_cast<double>(sum), static_cast<size_t>(n)));
    }
  }
}

void Matmul::run_reals() {
  const auto [rows, inner, columns] = shapes_[chosen_];
  const std::vector<float> a = read_reals(a_.layout, a_.memory->data(), false);
  std::vector<float> b = read_reals(b_.layout, b_.memory->data(), true);
  if (types_.mixed()) {  // codes
    const Quantization& grid = b_.quantization;
    for (int32_t n = 0; n < columns; ++n) {
      const size_t which = grid.scales.size() == 1 ? 0 : static_cast<size_t>(n);
      for (int32_t k = 0; k < inner; ++k) {
        float& value = b[static_cast<size_t>(n) * static_cast<size_t>(inner) + static_cast<size_t>(k)];
        value = (value - static_cast<float>(grid.zero_points[which])) * grid.scales[which];
      }
    }
  }
  for (int32_t m = 0; m < rows; ++m) {
    const float* row = a.data() + static_cast<size_t>(m) * static_cast<size_t>(inner);
    for (int32_t n = 0; n < columns; ++n) {
      const float* column = b.data() + static_cast<size_t>(n) * static_cast<size_t>(inner);
      double sum = 0;
      for (int32_t k = 0; k < inner; ++k) sum += static_cast<double>(row[k]) * static_cast<double>(column[k]);
      write_element(c_.layout, c_.memory->data(), m, n, sum);
    }
  }
}

void Matmul::lay_out_b(const rknn_matmul_info& info, const rknn_matmul_shape& shape, const Soc& soc, const void* source,
                       void* target) {
  check_shape(shape);
  const MatmulTypes types = matmul_types(raw(info.type), soc);
  const int from = info.B_layout == RKNN_MM_LAYOUT_TP_NORM ? RKNN_MM_LAYOUT_TP_NORM : RKNN_MM_LAYOUT_NORM;
  relay(layout_of_b(shape, types, from, soc), static_cast<const uint8_t*>(source),
        layout_of_b(shape, types, RKNN_MM_LAYOUT_NATIVE, soc), static_cast<uint8_t*>(target));
}

}  // namespace rknn_ep::simulator
