// What an rknn_matmul_ctx stands for: C = A x B on matrices that the program brings, computed exactly. Integers are
// summed as integers; real numbers in double precision and rounded once.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "simulator/matmul_layout.h"
#include "simulator/memory.h"

namespace rknn_ep::simulator {

class Matmul {
 public:
  // Every shape that may be chosen, the first one is; throws Failure where the description makes no sense.
  Matmul(const rknn_matmul_info& info, std::vector<rknn_matmul_shape> shapes, Soc soc);

  rknn_matmul_io_attr attributes(size_t shape) const;
  void bind(std::shared_ptr<Memory> memory, const rknn_matmul_tensor_attr& attr);
  void unbind(const Memory& memory);
  void set_core_mask(int64_t mask) const { soc_.check_core_mask(mask); }
  void set_quantization(const rknn_quant_params& params);
  void get_quantization(rknn_quant_params& params, float* scale);
  void choose(const rknn_matmul_shape& shape);
  void run();

  // B from [K, N] to the native layout.
  static void lay_out_b(const rknn_matmul_info& info, const rknn_matmul_shape& shape, const Soc& soc,
                        const void* source, void* target);

 private:
  struct Quantization {
    std::vector<float> scales{1.0f};
    std::vector<int32_t> zero_points{0};
  };
  struct Matrix {
    MatrixLayout layout;
    std::shared_ptr<Memory> memory;
    Quantization quantization;
  };

  void lay_out(size_t shape);
  Matrix& named(const char* name, size_t size);
  double rescaled(double sum, size_t column) const;
  void run_integers();
  void run_reals();

  std::mutex mutex_;
  const Soc soc_;
  const rknn_matmul_info info_;
  const MatmulTypes types_;
  const std::vector<rknn_matmul_shape> shapes_;
  size_t chosen_ = 0;
  Matrix a_, b_, c_;
};

// The SoC of matrix multiplications, which no model names: RKNN_EP_SIMULATED_SOC, else RK3588.
Soc matmul_soc();

}  // namespace rknn_ep::simulator
