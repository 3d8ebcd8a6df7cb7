// The C interface of Rockchip's NPU runtime, declared in our own words from its public names, types and values
// (SDK 2.3.2). abi/rknn_layout.cc proves the layouts.
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RKNN_MAX_DIMS 16
#define RKNN_MAX_NUM_CHANNEL 15
#define RKNN_MAX_NAME_LEN 256
#define RKNN_MAX_DYNAMIC_SHAPE_NUM 512

// Flags of rknn_init (and, the last one, of rknn_create_mem2).
#define RKNN_FLAG_PRIOR_HIGH 0x00000000u
#define RKNN_FLAG_PRIOR_MEDIUM 0x00000001u
#define RKNN_FLAG_PRIOR_LOW 0x00000002u
#define RKNN_FLAG_ASYNC_MASK 0x00000004u
#define RKNN_FLAG_COLLECT_PERF_MASK 0x00000008u
#define RKNN_FLAG_MEM_ALLOC_OUTSIDE 0x00000010u
#define RKNN_FLAG_SHARE_WEIGHT_MEM 0x00000020u
#define RKNN_FLAG_FENCE_IN_OUTSIDE 0x00000040u
#define RKNN_FLAG_FENCE_OUT_OUTSIDE 0x00000080u
#define RKNN_FLAG_COLLECT_MODEL_INFO_ONLY 0x00000100u
#define RKNN_FLAG_INTERNAL_ALLOC_OUTSIDE 0x00000200u
#define RKNN_FLAG_EXECUTE_FALLBACK_PRIOR_DEVICE_GPU 0x00000400u
#define RKNN_FLAG_ENABLE_SRAM 0x00000800u
#define RKNN_FLAG_SHARE_SRAM 0x00001000u
#define RKNN_FLAG_DISABLE_PROC_HIGH_PRIORITY 0x00002000u
#define RKNN_FLAG_DISABLE_FLUSH_INPUT_MEM_CACHE 0x00004000u
#define RKNN_FLAG_DISABLE_FLUSH_OUTPUT_MEM_CACHE 0x00008000u
#define RKNN_FLAG_MODEL_BUFFER_ZERO_COPY 0x00010000u
#define RKNN_MEM_FLAG_ALLOC_NO_CONTEXT 0x00020000u

// What the functions return.
#define RKNN_SUCC 0
#define RKNN_ERR_FAIL (-1)
#define RKNN_ERR_TIMEOUT (-2)
#define RKNN_ERR_DEVICE_UNAVAILABLE (-3)
#define RKNN_ERR_MALLOC_FAIL (-4)
#define RKNN_ERR_PARAM_INVALID (-5)
#define RKNN_ERR_MODEL_INVALID (-6)
#define RKNN_ERR_CTX_INVALID (-7)
#define RKNN_ERR_INPUT_INVALID (-8)
#define RKNN_ERR_OUTPUT_INVALID (-9)
#define RKNN_ERR_DEVICE_UNMATCH (-10)
#define RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL (-11)
#define RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION (-12)
#define RKNN_ERR_TARGET_PLATFORM_UNMATCH (-13)
#define RKNN_WARNING_SKIP_CUSTOM_OP_COMPUTE (-14)

// 32 bits wide on 32-bit Arm.
#ifdef __arm__
typedef uint32_t rknn_context;
#else
typedef uint64_t rknn_context;
#endif

// What rknn_query reports; the comment names the structure it fills.
typedef enum _rknn_query_cmd {
  RKNN_QUERY_IN_OUT_NUM = 0,          // rknn_input_output_num
  RKNN_QUERY_INPUT_ATTR = 1,          // rknn_tensor_attr
  RKNN_QUERY_OUTPUT_ATTR = 2,         // rknn_tensor_attr
  RKNN_QUERY_PERF_DETAIL = 3,         // rknn_perf_detail
  RKNN_QUERY_PERF_RUN = 4,            // rknn_perf_run
  RKNN_QUERY_SDK_VERSION = 5,         // rknn_sdk_version
  RKNN_QUERY_MEM_SIZE = 6,            // rknn_mem_size
  RKNN_QUERY_CUSTOM_STRING = 7,       // rknn_custom_string
  RKNN_QUERY_NATIVE_INPUT_ATTR = 8,   // rknn_tensor_attr
  RKNN_QUERY_NATIVE_OUTPUT_ATTR = 9,  // rknn_tensor_attr
  RKNN_QUERY_NATIVE_NC1HWC2_INPUT_ATTR = 8,
  RKNN_QUERY_NATIVE_NC1HWC2_OUTPUT_ATTR = 9,
  RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR = 10,      // rknn_tensor_attr
  RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR = 11,     // rknn_tensor_attr
  RKNN_QUERY_DEVICE_MEM_INFO = 12,             // rknn_tensor_mem
  RKNN_QUERY_INPUT_DYNAMIC_RANGE = 13,         // rknn_input_range
  RKNN_QUERY_CURRENT_INPUT_ATTR = 14,          // rknn_tensor_attr
  RKNN_QUERY_CURRENT_OUTPUT_ATTR = 15,         // rknn_tensor_attr
  RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR = 16,   // rknn_tensor_attr
  RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR = 17,  // rknn_tensor_attr
  RKNN_QUERY_CMD_MAX = 18,
} rknn_query_cmd;

// Element types.
typedef enum _rknn_tensor_type {
  RKNN_TENSOR_FLOAT32 = 0,
  RKNN_TENSOR_FLOAT16 = 1,
  RKNN_TENSOR_INT8 = 2,
  RKNN_TENSOR_UINT8 = 3,
  RKNN_TENSOR_INT16 = 4,
  RKNN_TENSOR_UINT16 = 5,
  RKNN_TENSOR_INT32 = 6,
  RKNN_TENSOR_UINT32 = 7,
  RKNN_TENSOR_INT64 = 8,
  RKNN_TENSOR_BOOL = 9,
  RKNN_TENSOR_INT4 = 10,
  RKNN_TENSOR_BFLOAT16 = 11,
  RKNN_TENSOR_TYPE_MAX = 12,
} rknn_tensor_type;

// How integer codes stand for real values.
typedef enum _rknn_tensor_qnt_type {
  RKNN_TENSOR_QNT_NONE = 0,
  RKNN_TENSOR_QNT_DFP = 1,
  RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC = 2,
  RKNN_TENSOR_QNT_MAX = 3,
} rknn_tensor_qnt_type;

// Order of a tensor's dimensions in memory.
typedef enum _rknn_tensor_format {
  RKNN_TENSOR_NCHW = 0,
  RKNN_TENSOR_NHWC = 1,
  RKNN_TENSOR_NC1HWC2 = 2,
  RKNN_TENSOR_UNDEFINED = 3,
  RKNN_TENSOR_FORMAT_MAX = 4,
} rknn_tensor_format;

// Which NPU cores a context may use: a bit a core.
typedef enum _rknn_core_mask {
  RKNN_NPU_CORE_AUTO = 0,
  RKNN_NPU_CORE_0 = 1,
  RKNN_NPU_CORE_1 = 2,
  RKNN_NPU_CORE_2 = 4,
  RKNN_NPU_CORE_0_1 = 3,
  RKNN_NPU_CORE_0_1_2 = 7,
  RKNN_NPU_CORE_ALL = 65535,
  RKNN_NPU_CORE_UNDEFINED = 65536,
} rknn_core_mask;

// Where an rknn_tensor_mem came from. Values of their own, not bits.
typedef enum _rknn_tensor_mem_flags {
  RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE = 1,
  RKNN_TENSOR_MEMORY_FLAGS_FROM_FD = 2,
  RKNN_TENSOR_MEMORY_FLAGS_FROM_PHYS = 3,
  RKNN_TENSOR_MEMORY_FLAGS_UNKNOWN = 4,
} rknn_tensor_mem_flags;

// What rknn_create_mem2 allocates.
typedef enum _rknn_mem_alloc_flags {
  RKNN_FLAG_MEMORY_FLAGS_DEFAULT = 0,
  RKNN_FLAG_MEMORY_CACHEABLE = 1,
  RKNN_FLAG_MEMORY_NON_CACHEABLE = 2,
  RKNN_FLAG_MEMORY_TRY_ALLOC_SRAM = 4,
} rknn_mem_alloc_flags;

// Direction of a cache flush.
typedef enum _rknn_mem_sync_mode {
  RKNN_MEMORY_SYNC_TO_DEVICE = 1,
  RKNN_MEMORY_SYNC_FROM_DEVICE = 2,
  RKNN_MEMORY_SYNC_BIDIRECTIONAL = 3,
} rknn_mem_sync_mode;

// RKNN_QUERY_IN_OUT_NUM.
typedef struct _rknn_input_output_num {
  uint32_t n_input;
  uint32_t n_output;
} rknn_input_output_num;

// One input or output: `index` is set by the caller of rknn_query, the rest is filled in.
// `size` is n_elems times the element size; `size_with_stride` is what zero-copy memory must hold; strides count
// elements, 0 means none.
typedef struct _rknn_tensor_attr {
  uint32_t index;
  uint32_t n_dims;
  uint32_t dims[RKNN_MAX_DIMS];
  char name[RKNN_MAX_NAME_LEN];
  uint32_t n_elems;
  uint32_t size;
  rknn_tensor_format fmt;
  rknn_tensor_type type;
  rknn_tensor_qnt_type qnt_type;
  int8_t fl;
  int32_t zp;
  float scale;
  uint32_t w_stride;
  uint32_t size_with_stride;
  uint8_t pass_through;
  uint32_t h_stride;
} rknn_tensor_attr;

// RKNN_QUERY_INPUT_DYNAMIC_RANGE: the shapes that one input of a dynamic model can take.
typedef struct _rknn_input_range {
  uint32_t index;
  uint32_t shape_number;
  rknn_tensor_format fmt;
  char name[RKNN_MAX_NAME_LEN];
  uint32_t dyn_range[RKNN_MAX_DYNAMIC_SHAPE_NUM][RKNN_MAX_DIMS];
  uint32_t n_dims;
} rknn_input_range;

// RKNN_QUERY_PERF_DETAIL: a text that belongs to the context.
typedef struct _rknn_perf_detail {
  char* perf_data;
  uint64_t data_len;
} rknn_perf_detail;

// RKNN_QUERY_PERF_RUN: microseconds of the last rknn_run, without setting inputs and getting outputs.
typedef struct _rknn_perf_run {
  int64_t run_duration;
} rknn_perf_run;

// RKNN_QUERY_SDK_VERSION.
typedef struct _rknn_sdk_version {
  char api_version[RKNN_MAX_NAME_LEN];
  char drv_version[RKNN_MAX_NAME_LEN];
} rknn_sdk_version;

// RKNN_QUERY_MEM_SIZE, in bytes.
typedef struct _rknn_mem_size {
  uint32_t total_weight_size;
  uint32_t total_internal_size;
  uint64_t total_dma_allocated_size;
  uint32_t total_sram_size;
  uint32_t free_sram_size;
  uint32_t reserved[10];
} rknn_mem_size;

// RKNN_QUERY_CUSTOM_STRING: what the model's author put into it.
typedef struct _rknn_custom_string {
  char string[1024];
} rknn_custom_string;

// Memory that device and program share.
typedef struct _rknn_tensor_memory {
  void* virt_addr;
  uint64_t phys_addr;
  int32_t fd;
  int32_t offset;
  uint32_t size;
  uint32_t flags;
  void* priv_data;
} rknn_tensor_mem;

// One tensor for rknn_inputs_set. pass_through=1: `buf` is in the model's own type and layout; 0: in `type` and `fmt`,
// to be converted.
typedef struct _rknn_input {
  uint32_t index;
  void* buf;
  uint32_t size;
  uint8_t pass_through;
  rknn_tensor_type type;
  rknn_tensor_format fmt;
} rknn_input;

// One tensor for rknn_outputs_get. want_float=1 converts to float32; is_prealloc=1: the caller brings `buf` and `size`.
typedef struct _rknn_output {
  uint8_t want_float;
  uint8_t is_prealloc;
  uint32_t index;
  void* buf;
  uint32_t size;
} rknn_output;

// Optional argument of rknn_init.
typedef struct _rknn_init_extend {
  rknn_context ctx;
  int32_t real_model_offset;
  uint32_t real_model_size;
  int32_t model_buffer_fd;
  uint32_t model_buffer_flags;
  uint8_t reserved[112];
} rknn_init_extend;

// Optional argument of rknn_run and rknn_wait.
typedef struct _rknn_run_extend {
  uint64_t frame_id;
  int32_t non_block;
  int32_t timeout_ms;
  int32_t fence_fd;
} rknn_run_extend;

// Optional argument of rknn_outputs_get.
typedef struct _rknn_output_extend {
  uint64_t frame_id;
} rknn_output_extend;

// Makes a context from a model: a buffer of `size` bytes, or the path of a file where `size` is 0.
int rknn_init(rknn_context* context, void* model, uint32_t size, uint32_t flag, rknn_init_extend* extend);

// Makes a second context that shares the weights of the first.
int rknn_dup_context(rknn_context* context_in, rknn_context* context_out);

// Gives a context back.
int rknn_destroy(rknn_context context);

// Fills `info`, a structure of `size` bytes that belongs to `cmd`.
int rknn_query(rknn_context context, rknn_query_cmd cmd, void* info, uint32_t size);

// Copies inputs in, converting type and layout.
int rknn_inputs_set(rknn_context context, uint32_t n_inputs, rknn_input inputs[]);

// Over how many cores a batch is spread.
int rknn_set_batch_core_num(rknn_context context, int core_num);

// On which cores to run; single-core SoCs refuse.
int rknn_set_core_mask(rknn_context context, rknn_core_mask core_mask);

// Runs the model on the inputs that were set.
int rknn_run(rknn_context context, rknn_run_extend* extend);

// Waits for a run that did not block; listed as unsupported on every SoC.
int rknn_wait(rknn_context context, rknn_run_extend* extend);

// Copies outputs out, or hands out buffers that rknn_outputs_release takes back.
int rknn_outputs_get(rknn_context context, uint32_t n_outputs, rknn_output outputs[], rknn_output_extend* extend);

// Takes back what rknn_outputs_get handed out.
int rknn_outputs_release(rknn_context context, uint32_t n_ouputs, rknn_output outputs[]);

// Wraps memory known by its physical address.
rknn_tensor_mem* rknn_create_mem_from_phys(rknn_context ctx, uint64_t phys_addr, void* virt_addr, uint32_t size);

// Wraps memory known by a dma-buf descriptor.
rknn_tensor_mem* rknn_create_mem_from_fd(rknn_context ctx, int32_t fd, void* virt_addr, uint32_t size, int32_t offset);

// Wraps a media block; listed as unsupported on every SoC.
rknn_tensor_mem* rknn_create_mem_from_mb_blk(rknn_context ctx, void* mb_blk, int32_t offset);

// Allocates memory that device and program share.
rknn_tensor_mem* rknn_create_mem(rknn_context ctx, uint32_t size);

// The same with rknn_mem_alloc_flags.
rknn_tensor_mem* rknn_create_mem2(rknn_context ctx, uint64_t size, uint64_t alloc_flags);

// Gives memory back.
int rknn_destroy_mem(rknn_context ctx, rknn_tensor_mem* mem);

// Lends the context memory for its weights.
int rknn_set_weight_mem(rknn_context ctx, rknn_tensor_mem* mem);

// Lends the context memory for its intermediate tensors.
int rknn_set_internal_mem(rknn_context ctx, rknn_tensor_mem* mem);

// Binds memory to the input or output that `attr` describes: the zero-copy flow.
int rknn_set_io_mem(rknn_context ctx, rknn_tensor_mem* mem, rknn_tensor_attr* attr);

// Deprecated in favour of rknn_set_input_shapes.
int rknn_set_input_shape(rknn_context ctx, rknn_tensor_attr* attr);

// Chooses the shapes of a dynamic model's inputs.
int rknn_set_input_shapes(rknn_context ctx, uint32_t n_inputs, rknn_tensor_attr attr[]);

// Flushes caches for memory that the CPU wrote or will read.
int rknn_mem_sync(rknn_context context, rknn_tensor_mem* mem, rknn_mem_sync_mode mode);

#ifdef __cplusplus
}  // extern "C"
#endif
