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

// Opens a bundle on a library that implements rknn_api. `options_text` holds key=value lines (core_mask, contexts,
// io_mode, simulation, simulation_threads) and may be null.
RKNN_EP_EXPORT int rknn_ep_executor_open(const char* bundle_path, const char* library_path, const char* options_text,
                                         void** executor);

// The same for a bundle in memory, which must stay where it is until the executor is closed. Where `library_path` is null,
// the option `device` chooses: board, simulator, or auto (the board on a Rockchip SoC, else the simulator that is
// installed beside this library).
RKNN_EP_EXPORT int rknn_ep_executor_open_memory(const void* bundle, uint64_t size, const char* library_path,
                                                const char* options_text, void** executor);

// Runs it once: addresses and sizes in bytes of every input and output, in the bundle's order. Thread-safe.
RKNN_EP_EXPORT int rknn_ep_executor_run(void* executor, const void* const* inputs, const uint64_t* input_sizes,
                                        uint64_t n_inputs, void* const* outputs, const uint64_t* output_sizes,
                                        uint64_t n_outputs);

// Gives everything back; null is allowed. No run may be under way.
RKNN_EP_EXPORT void rknn_ep_executor_close(void* executor);

#ifdef __cplusplus
}  // extern "C"
#endif
