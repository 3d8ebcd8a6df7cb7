// Which ONNX Runtime the simulator computes with.
#pragma once

#include <string>

namespace rknn_ep {

// The host's OrtApi, once a provider was registered: whoever opens an executor later computes with the same runtime.
void remember_onnxruntime(const void* api) noexcept;

// The remembered OrtApi; else that of the library at `path`, which stays loaded; null where there is neither and the
// simulator has to look for itself. Throws Failure for a library that is no ONNX Runtime.
const void* host_onnxruntime(const std::string& path);

}  // namespace rknn_ep
