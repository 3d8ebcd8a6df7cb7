// Proves at compile time that the structures of rknn_api lie in memory as programs built elsewhere expect them.
// Columns: offset and size on LP64 (x86-64, aarch64), offset and size on 32-bit Arm (computed from its AAPCS rules).
#include <cstddef>

#include "abi/rknn_api.h"
#include "abi/rknn_custom_op.h"
#include "abi/rknn_matmul_api.h"

#ifdef __arm__
#define RKNN_EP_COLUMN(lp64, arm32) arm32
#else
#define RKNN_EP_COLUMN(lp64, arm32) lp64
#endif

#define FIELD(type, field, lp64_offset, lp64_size, arm32_offset, arm32_size)                             \
  static_assert(offsetof(type, field) == RKNN_EP_COLUMN(lp64_offset, arm32_offset) &&                    \
                    sizeof(static_cast<type*>(nullptr)->field) == RKNN_EP_COLUMN(lp64_size, arm32_size), \
                #type "::" #field " is not where rknn_api has it")
#define STRUCT(type, lp64_size, lp64_align, arm32_size, arm32_align)          \
  static_assert(sizeof(type) == RKNN_EP_COLUMN(lp64_size, arm32_size) &&      \
                    alignof(type) == RKNN_EP_COLUMN(lp64_align, arm32_align), \
                #type " has not the size that rknn_api gives it")

STRUCT(rknn_input_output_num, 8, 4, 8, 4);
FIELD(rknn_input_output_num, n_input, 0, 4, 0, 4);
FIELD(rknn_input_output_num, n_output, 4, 4, 4, 4);

STRUCT(rknn_tensor_attr, 376, 4, 376, 4);
FIELD(rknn_tensor_attr, index, 0, 4, 0, 4);
FIELD(rknn_tensor_attr, n_dims, 4, 4, 4, 4);
FIELD(rknn_tensor_attr, dims, 8, 64, 8, 64);
FIELD(rknn_tensor_attr, name, 72, 256, 72, 256);
FIELD(rknn_tensor_attr, n_elems, 328, 4, 328, 4);
FIELD(rknn_tensor_attr, size, 332, 4, 332, 4);
FIELD(rknn_tensor_attr, fmt, 336, 4, 336, 4);
FIELD(rknn_tensor_attr, type, 340, 4, 340, 4);
FIELD(rknn_tensor_attr, qnt_type, 344, 4, 344, 4);
FIELD(rknn_tensor_attr, fl, 348, 1, 348, 1);
FIELD(rknn_tensor_attr, zp, 352, 4, 352, 4);
FIELD(rknn_tensor_attr, scale, 356, 4, 356, 4);
FIELD(rknn_tensor_attr, w_stride, 360, 4, 360, 4);
FIELD(rknn_tensor_attr, size_with_stride, 364, 4, 364, 4);
FIELD(rknn_tensor_attr, pass_through, 368, 1, 368, 1);
FIELD(rknn_tensor_attr, h_stride, 372, 4, 372, 4);

STRUCT(rknn_input_range, 33040, 4, 33040, 4);
FIELD(rknn_input_range, index, 0, 4, 0, 4);
FIELD(rknn_input_range, shape_number, 4, 4, 4, 4);
FIELD(rknn_input_range, fmt, 8, 4, 8, 4);
FIELD(rknn_input_range, name, 12, 256, 12, 256);
FIELD(rknn_input_range, dyn_range, 268, 32768, 268, 32768);
FIELD(rknn_input_range, n_dims, 33036, 4, 33036, 4);

STRUCT(rknn_perf_detail, 16, 8, 16, 8);
FIELD(rknn_perf_detail, perf_data, 0, 8, 0, 4);
FIELD(rknn_perf_detail, data_len, 8, 8, 8, 8);

STRUCT(rknn_perf_run, 8, 8, 8, 8);
FIELD(rknn_perf_run, run_duration, 0, 8, 0, 8);

STRUCT(rknn_sdk_version, 512, 1, 512, 1);
FIELD(rknn_sdk_version, api_version, 0, 256, 0, 256);
FIELD(rknn_sdk_version, drv_version, 256, 256, 256, 256);

STRUCT(rknn_mem_size, 64, 8, 64, 8);
FIELD(rknn_mem_size, total_weight_size, 0, 4, 0, 4);
FIELD(rknn_mem_size, total_internal_size, 4, 4, 4, 4);
FIELD(rknn_mem_size, total_dma_allocated_size, 8, 8, 8, 8);
FIELD(rknn_mem_size, total_sram_size, 16, 4, 16, 4);
FIELD(rknn_mem_size, free_sram_size, 20, 4, 20, 4);
FIELD(rknn_mem_size, reserved, 24, 40, 24, 40);

STRUCT(rknn_custom_string, 1024, 1, 1024, 1);
FIELD(rknn_custom_string, string, 0, 1024, 0, 1024);

STRUCT(rknn_tensor_mem, 40, 8, 40, 8);
FIELD(rknn_tensor_mem, virt_addr, 0, 8, 0, 4);
FIELD(rknn_tensor_mem, phys_addr, 8, 8, 8, 8);
FIELD(rknn_tensor_mem, fd, 16, 4, 16, 4);
FIELD(rknn_tensor_mem, offset, 20, 4, 20, 4);
FIELD(rknn_tensor_mem, size, 24, 4, 24, 4);
FIELD(rknn_tensor_mem, flags, 28, 4, 28, 4);
FIELD(rknn_tensor_mem, priv_data, 32, 8, 32, 4);

STRUCT(rknn_input, 32, 8, 24, 4);
FIELD(rknn_input, index, 0, 4, 0, 4);
FIELD(rknn_input, buf, 8, 8, 4, 4);
FIELD(rknn_input, size, 16, 4, 8, 4);
FIELD(rknn_input, pass_through, 20, 1, 12, 1);
FIELD(rknn_input, type, 24, 4, 16, 4);
FIELD(rknn_input, fmt, 28, 4, 20, 4);

STRUCT(rknn_output, 24, 8, 16, 4);
FIELD(rknn_output, want_float, 0, 1, 0, 1);
FIELD(rknn_output, is_prealloc, 1, 1, 1, 1);
FIELD(rknn_output, index, 4, 4, 4, 4);
FIELD(rknn_output, buf, 8, 8, 8, 4);
FIELD(rknn_output, size, 16, 4, 12, 4);

STRUCT(rknn_init_extend, 136, 8, 132, 4);
FIELD(rknn_init_extend, ctx, 0, 8, 0, 4);
FIELD(rknn_init_extend, real_model_offset, 8, 4, 4, 4);
FIELD(rknn_init_extend, real_model_size, 12, 4, 8, 4);
FIELD(rknn_init_extend, model_buffer_fd, 16, 4, 12, 4);
FIELD(rknn_init_extend, model_buffer_flags, 20, 4, 16, 4);
FIELD(rknn_init_extend, reserved, 24, 112, 20, 112);

STRUCT(rknn_run_extend, 24, 8, 24, 8);
FIELD(rknn_run_extend, frame_id, 0, 8, 0, 8);
FIELD(rknn_run_extend, non_block, 8, 4, 8, 4);
FIELD(rknn_run_extend, timeout_ms, 12, 4, 12, 4);
FIELD(rknn_run_extend, fence_fd, 16, 4, 16, 4);

STRUCT(rknn_output_extend, 8, 8, 8, 8);
FIELD(rknn_output_extend, frame_id, 0, 8, 0, 8);

STRUCT(rknn_quant_params, 288, 8, 272, 4);
FIELD(rknn_quant_params, name, 0, 256, 0, 256);
FIELD(rknn_quant_params, scale, 256, 8, 256, 4);
FIELD(rknn_quant_params, scale_len, 264, 4, 260, 4);
FIELD(rknn_quant_params, zp, 272, 8, 264, 4);
FIELD(rknn_quant_params, zp_len, 280, 4, 268, 4);

STRUCT(rknn_matmul_tensor_attr, 332, 4, 332, 4);
FIELD(rknn_matmul_tensor_attr, name, 0, 256, 0, 256);
FIELD(rknn_matmul_tensor_attr, n_dims, 256, 4, 256, 4);
FIELD(rknn_matmul_tensor_attr, dims, 260, 64, 260, 64);
FIELD(rknn_matmul_tensor_attr, size, 324, 4, 324, 4);
FIELD(rknn_matmul_tensor_attr, type, 328, 4, 328, 4);

STRUCT(rknn_matmul_io_attr, 996, 4, 996, 4);
FIELD(rknn_matmul_io_attr, A, 0, 332, 0, 332);
FIELD(rknn_matmul_io_attr, B, 332, 332, 332, 332);
FIELD(rknn_matmul_io_attr, C, 664, 332, 664, 332);

STRUCT(rknn_matmul_shape, 12, 4, 12, 4);
FIELD(rknn_matmul_shape, M, 0, 4, 0, 4);
FIELD(rknn_matmul_shape, K, 4, 4, 4, 4);
FIELD(rknn_matmul_shape, N, 8, 4, 8, 4);

STRUCT(rknn_matmul_info, 64, 4, 64, 4);
FIELD(rknn_matmul_info, M, 0, 4, 0, 4);
FIELD(rknn_matmul_info, K, 4, 4, 4, 4);
FIELD(rknn_matmul_info, N, 8, 4, 8, 4);
FIELD(rknn_matmul_info, type, 12, 4, 12, 4);
FIELD(rknn_matmul_info, B_layout, 16, 2, 16, 2);
FIELD(rknn_matmul_info, B_quant_type, 18, 2, 18, 2);
FIELD(rknn_matmul_info, AC_layout, 20, 2, 20, 2);
FIELD(rknn_matmul_info, AC_quant_type, 22, 2, 22, 2);
FIELD(rknn_matmul_info, iommu_domain_id, 24, 4, 24, 4);
FIELD(rknn_matmul_info, group_size, 28, 2, 28, 2);
FIELD(rknn_matmul_info, reserved, 30, 34, 30, 34);

STRUCT(rknn_gpu_op_context, 24, 8, 12, 4);
FIELD(rknn_gpu_op_context, cl_context, 0, 8, 0, 4);
FIELD(rknn_gpu_op_context, cl_command_queue, 8, 8, 4, 4);
FIELD(rknn_gpu_op_context, cl_kernel, 16, 8, 8, 4);

STRUCT(rknn_custom_op_context, 48, 8, 24, 4);
FIELD(rknn_custom_op_context, target, 0, 4, 0, 4);
FIELD(rknn_custom_op_context, internal_ctx, 8, 8, 4, 4);
FIELD(rknn_custom_op_context, gpu_ctx, 16, 24, 8, 12);
FIELD(rknn_custom_op_context, priv_data, 40, 8, 20, 4);

STRUCT(rknn_custom_op_tensor, 416, 8, 416, 8);
FIELD(rknn_custom_op_tensor, attr, 0, 376, 0, 376);
FIELD(rknn_custom_op_tensor, mem, 376, 40, 376, 40);

STRUCT(rknn_custom_op_attr, 272, 8, 268, 4);
FIELD(rknn_custom_op_attr, name, 0, 256, 0, 256);
FIELD(rknn_custom_op_attr, dtype, 256, 4, 256, 4);
FIELD(rknn_custom_op_attr, n_elems, 260, 4, 260, 4);
FIELD(rknn_custom_op_attr, data, 264, 8, 264, 4);

STRUCT(rknn_custom_op, 832, 8, 816, 8);
FIELD(rknn_custom_op, version, 0, 4, 0, 4);
FIELD(rknn_custom_op, target, 4, 4, 4, 4);
FIELD(rknn_custom_op, op_type, 8, 256, 8, 256);
FIELD(rknn_custom_op, cl_kernel_name, 264, 256, 264, 256);
FIELD(rknn_custom_op, cl_kernel_source, 520, 8, 520, 4);
FIELD(rknn_custom_op, cl_source_size, 528, 8, 528, 8);
FIELD(rknn_custom_op, cl_build_options, 536, 256, 536, 256);
FIELD(rknn_custom_op, init, 792, 8, 792, 4);
FIELD(rknn_custom_op, prepare, 800, 8, 796, 4);
FIELD(rknn_custom_op, compute, 808, 8, 800, 4);
FIELD(rknn_custom_op, compute_native, 816, 8, 804, 4);
FIELD(rknn_custom_op, destroy, 824, 8, 808, 4);
