// The exported functions of the matrix multiplication API.
#include <memory>
#include <vector>

#include "abi/rknn_matmul_api.h"
#include "simulator/export.h"
#include "simulator/guard.h"
#include "simulator/matmul.h"
#include "simulator/registry.h"

namespace rknn_ep::simulator {
namespace {

constexpr int kMostShapes = 4096;

Registry<Matmul>& matmuls() { return Registry<Matmul>::instance(); }

Soc large_soc(const char* function) {
  Soc soc = matmul_soc();
  soc.require_large(function);
  return soc;
}

}  // namespace
}  // namespace rknn_ep::simulator

using namespace rknn_ep::simulator;

extern "C" {

RKNN_EP_EXPORT int rknn_matmul_create(rknn_matmul_ctx* ctx, rknn_matmul_info* info, rknn_matmul_io_attr* io_attr) {
  read_log_level();
  return guarded("rknn_matmul_create", [&] {
    if (!ctx || !info || !io_attr) throw Failure(RKNN_ERR_PARAM_INVALID, "ctx, info or io_attr is null");
    *ctx = 0;
    const rknn_matmul_shape shape{info->M, info->K, info->N};
    auto made = std::make_shared<Matmul>(*info, std::vector<rknn_matmul_shape>{shape}, large_soc("rknn_matmul_create"));
    *io_attr = made->attributes(0);
    *ctx = matmuls().add(std::move(made));
  });
}

RKNN_EP_EXPORT int rknn_matmul_create_dynamic_shape(rknn_matmul_ctx* ctx, rknn_matmul_info* info, int shape_num,
                                                    rknn_matmul_shape dynamic_shapes[],
                                                    rknn_matmul_io_attr io_attrs[]) {
  read_log_level();
  return guarded("rknn_matmul_create_dynamic_shape", [&] {
    if (!ctx || !info || !dynamic_shapes || !io_attrs) {
      throw Failure(RKNN_ERR_PARAM_INVALID, "ctx, info, dynamic_shapes or io_attrs is null");
    }
    if (shape_num < 1 || shape_num > kMostShapes) {
      throw Failure(RKNN_ERR_PARAM_INVALID, std::to_string(shape_num) + " shapes");
    }
    *ctx = 0;
    std::vector<rknn_matmul_shape> shapes(dynamic_shapes, dynamic_shapes + shape_num);
    auto made = std::make_shared<Matmul>(*info, std::move(shapes), large_soc("rknn_matmul_create_dynamic_shape"));
    for (int i = 0; i < shape_num; ++i) io_attrs[i] = made->attributes(static_cast<size_t>(i));
    *ctx = matmuls().add(std::move(made));
  });
}

RKNN_EP_EXPORT int rknn_matmul_set_io_mem(rknn_matmul_ctx ctx, rknn_tensor_mem* mem, rknn_matmul_tensor_attr* attr) {
  return guarded("rknn_matmul_set_io_mem", [&] {
    const std::shared_ptr<Matmul> matmul = matmuls().find(ctx);
    if (!attr) throw Failure(RKNN_ERR_PARAM_INVALID, "attr is null");
    matmul->bind(find_memory(mem), *attr);
  });
}

RKNN_EP_EXPORT int rknn_matmul_set_core_mask(rknn_matmul_ctx context, rknn_core_mask core_mask) {
  return guarded("rknn_matmul_set_core_mask", [&] { matmuls().find(context)->set_core_mask(raw(core_mask)); });
}

RKNN_EP_EXPORT int rknn_matmul_set_quant_params(rknn_matmul_ctx context, rknn_quant_params* params) {
  return guarded("rknn_matmul_set_quant_params", [&] {
    const std::shared_ptr<Matmul> matmul = matmuls().find(context);
    if (!params) throw Failure(RKNN_ERR_PARAM_INVALID, "params is null");
    matmul->set_quantization(*params);
  });
}

RKNN_EP_EXPORT int rknn_matmul_get_quant_params(rknn_matmul_ctx ctx, rknn_quant_params* params, float* scale) {
  return guarded("rknn_matmul_get_quant_params", [&] {
    const std::shared_ptr<Matmul> matmul = matmuls().find(ctx);
    if (!params) throw Failure(RKNN_ERR_PARAM_INVALID, "params is null");
    matmul->get_quantization(*params, scale);
  });
}

RKNN_EP_EXPORT int rknn_matmul_set_dynamic_shape(rknn_matmul_ctx ctx, rknn_matmul_shape* shape) {
  return guarded("rknn_matmul_set_dynamic_shape", [&] {
    const std::shared_ptr<Matmul> matmul = matmuls().find(ctx);
    if (!shape) throw Failure(RKNN_ERR_PARAM_INVALID, "shape is null");
    matmul->choose(*shape);
  });
}

RKNN_EP_EXPORT int rknn_matmul_run(rknn_matmul_ctx ctx) {
  return guarded("rknn_matmul_run", [&] { matmuls().find(ctx)->run(); });
}

RKNN_EP_EXPORT int rknn_matmul_destroy(rknn_matmul_ctx ctx) {
  return guarded("rknn_matmul_destroy", [&] {
    matmuls().remove(ctx);
    drop_memory_of(ctx);
  });
}

RKNN_EP_EXPORT int rknn_B_normal_layout_to_native_layout(void* B_input, void* B_output, int K, int N,
                                                         rknn_matmul_info* info) {
  return guarded("rknn_B_normal_layout_to_native_layout", [&] {
    if (!B_input || !B_output || !info) throw Failure(RKNN_ERR_PARAM_INVALID, "a matrix or info is null");
    Matmul::lay_out_b(*info, {1, K, N}, large_soc("rknn_B_normal_layout_to_native_layout"), B_input, B_output);
  });
}

}  // extern "C"
