// The C interface of librknn_ep.so for whoever runs partitions outside ONNX Runtime: Python through ctypes, TVM.
// Functions that can fail return 0, or -1 with the reason in rknn_ep_last_error().
#pragma once

#include <stdint.h>

#define RKNN_EP_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

// Why the last call on this thread failed; valid until the thread's next call.
RKNN_EP_EXPORT const char* rknn_ep_last_error(void);

// For callbacks that fail: the text that the caller will report.
RKNN_EP_EXPORT void rknn_ep_set_last_error(const char* text);

// Version of rknn_ep that this library was built as.
RKNN_EP_EXPORT const char* rknn_ep_version(void);

// Opens a compiled model on a library that implements rknn_api: a bundle, or a .rknn file that the library reads
// itself. `options_text` holds key=value lines and may be null:
//   core_mask, contexts, io_mode, simulation, simulation_threads   as the provider's options
//   onnxruntime   path of the library that a simulator computes with, where no ONNX Runtime has loaded us as a provider
RKNN_EP_EXPORT int rknn_ep_executor_open(const char* model_path, const char* library_path, const char* options_text,
                                         void** executor);

// The same for a bundle in memory, which must stay where it is until the executor is closed. Where `library_path` is
// null, the option `device` chooses: board, simulator, or auto (the board on a Rockchip SoC, else the simulator that is
// installed beside this library).
RKNN_EP_EXPORT int rknn_ep_executor_open_memory(const void* bundle, uint64_t size, const char* library_path,
                                                const char* options_text, void** executor);

// Runs it once: addresses and sizes in bytes of every input and output, in the model's order. Thread-safe: as many runs
// as there are contexts go at once, the others wait asleep, in the order in which they came.
RKNN_EP_EXPORT int rknn_ep_executor_run(void* executor, const void* const* inputs, const uint64_t* input_sizes,
                                        uint64_t n_inputs, void* const* outputs, const uint64_t* output_sizes,
                                        uint64_t n_outputs);

// The same with inputs in types and layouts of the caller's, by the numbers of rknn_tensor_type and rknn_tensor_format;
// with pass_through the device's own.
typedef struct rknn_ep_input {
  const void* data;
  uint64_t size;
  int32_t type;
  int32_t format;
  int32_t pass_through;
} rknn_ep_input;
RKNN_EP_EXPORT int rknn_ep_executor_run_inputs(void* executor, const rknn_ep_input* inputs, uint64_t n_inputs,
                                               void* const* outputs, const uint64_t* output_sizes, uint64_t n_outputs);

// What there is to know, as key=value lines; valid until the executor is closed. target, partition; inputs, and for
// each input.<i>.name, .dims, .dtype at the border and, under input.<i>.device, .dims, .type, .format, .w_stride,
// .h_stride, .qnt_type, .scale, .zero_point, .bytes in the device's memory; outputs likewise; library, library.missing,
// api_version, driver_version, weight_bytes, internal_bytes, contexts, weights_shared, io_mode, shapes.
RKNN_EP_EXPORT const char* rknn_ep_executor_describe(void* executor);

// The same executor for another of its choices of input shapes (rknn_set_input_shapes), by number: describe says
// `shapes`. What is opened serves all calls with handles, and is closed like the first, in any order; shutting one down
// shuts down all. Runs of different shapes may go at once where there are several contexts; a context that changes its
// shape takes longer.
RKNN_EP_EXPORT int rknn_ep_executor_shape(void* executor, uint64_t shape, void** executor_at_shape);

// Refuses runs from now on, waits for those under way and gives the device back. Any thread, any number of times.
RKNN_EP_EXPORT int rknn_ep_executor_shut_down(void* executor);

// Gives everything back; null is allowed. No call may be under way: shut down first where there are other threads.
RKNN_EP_EXPORT void rknn_ep_executor_close(void* executor);

// Memory that device and caller share, with a context of its own on the same weights: the caller writes inputs and
// reads outputs in place, and nothing is copied. `options_text` may be null: then inputs are as the device likes them
// best and outputs are NHWC. Its lines choose for each tensor: input.<i>.type, output.<i>.type (INT8, UINT8, FLOAT16,
// FLOAT32...) and input.<i>.format, output.<i>.format (NCHW, NHWC, NC1HWC2).
RKNN_EP_EXPORT int rknn_ep_binding_open(void* executor, const char* options_text, void** binding);

// As rknn_ep_executor_describe, the keys of the device's memory without ".device".
RKNN_EP_EXPORT const char* rknn_ep_binding_describe(void* binding);

// Address, size in bytes and dma-buf descriptor (negative: none) of an input's memory, or with `output` not 0 an
// output's.
RKNN_EP_EXPORT int rknn_ep_binding_memory(void* binding, int output, uint64_t index, void** address, uint64_t* size,
                                          int32_t* descriptor);

// Computes what lies in the inputs' memory. Callers take turns.
RKNN_EP_EXPORT int rknn_ep_binding_run(void* binding);

// Gives memory and context back; null is allowed. The executor may be closed before.
RKNN_EP_EXPORT void rknn_ep_binding_close(void* binding);

#ifdef __cplusplus
}  // extern "C"
#endif
