// Between ONNX Runtime's status objects and our exception.
#pragma once

#include <string>
#include <vector>

#include "abi/ort_api.h"
#include "runtime/failure.h"

namespace rknn_ep {

// Throws Failure with ONNX Runtime's own text when `status` is an error, and releases it.
inline void check(const ort::OrtApi& api, ort::OrtStatus* status) {
  if (status == nullptr) return;
  std::string text = api.GetErrorMessage(status);
  api.ReleaseStatus(status);
  throw Failure(text);
}

// Runs `body` where ONNX Runtime called us: whatever it throws becomes a status of kind `code`.
// ORT_EP_FAIL from an inference would make Python's InferenceSession go on with the CPU alone: never a silent fallback.
template <typename Body>
ort::OrtStatus* as_status(const ort::OrtApi& api, ort::OrtErrorCode code, Body&& body) noexcept {
  if (guarded(std::forward<Body>(body)) == 0) return nullptr;
  return api.CreateStatus(code, last_error().c_str());
}

// The lists that ONNX Runtime hands out in two calls, a count and a fill.
template <typename Item, typename Count, typename Fill>
std::vector<Item> read_list(const ort::OrtApi& api, Count&& count, Fill&& fill) {
  size_t size = 0;
  check(api, count(&size));
  std::vector<Item> items(size);
  if (size != 0) check(api, fill(items.data(), size));
  return items;
}

}  // namespace rknn_ep
