// Functions of rknn_api that the simulator has no model of yet: programs link, and a call says so.
#include "abi/rknn_api.h"
#include "abi/rknn_custom_op.h"
#include "abi/rknn_matmul_api.h"
#include "simulator/export.h"
#include "simulator/failure.h"

namespace {

int absent(const char* function) {
  rknn_ep::simulator::log_failure(function, RKNN_ERR_FAIL, "this function is not simulated");
  return RKNN_ERR_FAIL;
}

rknn_tensor_mem* no_memory(const char* function) {
  absent(function);
  return nullptr;
}

}  // namespace

extern "C" {

RKNN_EP_EXPORT int rknn_wait(rknn_context, rknn_run_extend*) { return absent("rknn_wait"); }
RKNN_EP_EXPORT int rknn_set_batch_core_num(rknn_context, int) { return absent("rknn_set_batch_core_num"); }
RKNN_EP_EXPORT int rknn_set_weight_mem(rknn_context, rknn_tensor_mem*) { return absent("rknn_set_weight_mem"); }
RKNN_EP_EXPORT int rknn_set_internal_mem(rknn_context, rknn_tensor_mem*) { return absent("rknn_set_internal_mem"); }
RKNN_EP_EXPORT int rknn_set_input_shape(rknn_context, rknn_tensor_attr*) { return absent("rknn_set_input_shape"); }
RKNN_EP_EXPORT int rknn_set_input_shapes(rknn_context, uint32_t, rknn_tensor_attr[]) {
  return absent("rknn_set_input_shapes");
}
RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem_from_phys(rknn_context, uint64_t, void*, uint32_t) {
  return no_memory("rknn_create_mem_from_phys");
}
RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem_from_fd(rknn_context, int32_t, void*, uint32_t, int32_t) {
  return no_memory("rknn_create_mem_from_fd");
}
RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem_from_mb_blk(rknn_context, void*, int32_t) {
  return no_memory("rknn_create_mem_from_mb_blk");
}

RKNN_EP_EXPORT int rknn_matmul_create(rknn_matmul_ctx*, rknn_matmul_info*, rknn_matmul_io_attr*) {
  return absent("rknn_matmul_create");
}
RKNN_EP_EXPORT int rknn_matmul_create_dynamic_shape(rknn_matmul_ctx*, rknn_matmul_info*, int, rknn_matmul_shape[],
                                                    rknn_matmul_io_attr[]) {
  return absent("rknn_matmul_create_dynamic_shape");
}
RKNN_EP_EXPORT int rknn_matmul_set_io_mem(rknn_matmul_ctx, rknn_tensor_mem*, rknn_matmul_tensor_attr*) {
  return absent("rknn_matmul_set_io_mem");
}
RKNN_EP_EXPORT int rknn_matmul_set_core_mask(rknn_matmul_ctx, rknn_core_mask) {
  return absent("rknn_matmul_set_core_mask");
}
RKNN_EP_EXPORT int rknn_matmul_set_quant_params(rknn_matmul_ctx, rknn_quant_params*) {
  return absent("rknn_matmul_set_quant_params");
}
RKNN_EP_EXPORT int rknn_matmul_get_quant_params(rknn_matmul_ctx, rknn_quant_params*, float*) {
  return absent("rknn_matmul_get_quant_params");
}
RKNN_EP_EXPORT int rknn_matmul_set_dynamic_shape(rknn_matmul_ctx, rknn_matmul_shape*) {
  return absent("rknn_matmul_set_dynamic_shape");
}
RKNN_EP_EXPORT int rknn_matmul_run(rknn_matmul_ctx) { return absent("rknn_matmul_run"); }
RKNN_EP_EXPORT int rknn_matmul_destroy(rknn_matmul_ctx) { return absent("rknn_matmul_destroy"); }
RKNN_EP_EXPORT int rknn_B_normal_layout_to_native_layout(void*, void*, int, int, rknn_matmul_info*) {
  return absent("rknn_B_normal_layout_to_native_layout");
}

RKNN_EP_EXPORT int rknn_register_custom_ops(rknn_context, rknn_custom_op*, uint32_t) {
  return absent("rknn_register_custom_ops");
}
RKNN_EP_EXPORT void rknn_custom_op_get_op_attr(rknn_custom_op_context*, const char*, rknn_custom_op_attr* op_attr) {
  absent("rknn_custom_op_get_op_attr");
  if (op_attr) op_attr->n_elems = 0;
}

}  // extern "C"
