// The planner's C interface: Python registers a function that turns a model into partitions. ONNX Runtime's
// GetCapability calls it on the thread that creates the session; it answers through rknn_ep_plan_*.
#pragma once

#include <stdint.h>

#include "runtime/rknn_ep.h"

#ifdef __cplusplus
extern "C" {
#endif

// `model`: a serialised ONNX ModelProto whose node i is ONNX Runtime's node i. `options_text`: key=value lines with the
// provider's options and what else the session says: ort.version, ort.context_enable, ort.disable_cpu_fallback,
// ort.model_path. 0: the plan stands, be it empty; anything else, or rknn_ep_plan_fail: the session must not be
// created.
typedef int (*rknn_ep_plan_fn)(void* plan, const void* model, uint64_t model_size, const char* options_text);

// Null takes the planner away again.
RKNN_EP_EXPORT void rknn_ep_set_planner(rknn_ep_plan_fn planner);

// Adds a partition: indices of its nodes, and the bundle that computes them. `library_path` is an implementation of
// rknn_api; `native_text` the bundle's native.txt, or empty to read it from the bundle.
RKNN_EP_EXPORT void rknn_ep_plan_add_partition(void* plan, const char* name, const uint64_t* nodes, uint64_t node_count,
                                               const char* bundle_path, const char* target, const char* library_path,
                                               const char* native_text);

// Makes the partition that was added last run through Python instead of a library: `run` is called with `id` and the
// addresses of its inputs and outputs in the bundle's order, `close` when the session ends. 0 is success; other values
// come with a text through rknn_ep_set_last_error.
RKNN_EP_EXPORT void rknn_ep_plan_set_python_executor(void* plan, int64_t id,
                                                     int (*run)(int64_t, const void* const*, void* const*),
                                                     void (*close)(int64_t));

// A fatal error: session creation fails with `message`.
RKNN_EP_EXPORT void rknn_ep_plan_fail(void* plan, const char* message);

// Writes to the session's log; severity 0 verbose, 1 info, 2 warning, 3 error, 4 fatal.
RKNN_EP_EXPORT void rknn_ep_plan_log(void* plan, int severity, const char* message);

// Nothing of the model is for the NPU. `message` goes to the session's log as a warning, once, when that is certain: at
// the session's first run, because ONNX Runtime may inline functions and ask again.
RKNN_EP_EXPORT void rknn_ep_plan_nothing(void* plan, const char* message);

// What the device's OrtEpDevice shows as its metadata: key=value lines. Read when the library is registered next.
RKNN_EP_EXPORT void rknn_ep_set_device_metadata(const char* key_values);

// Names of all options of the provider, one a line.
RKNN_EP_EXPORT const char* rknn_ep_option_names(void);

#ifdef __cplusplus
}  // extern "C"
#endif
