#include "onnxruntime/device_metadata.h"

#include <mutex>

#include "bundle/key_values.h"
#include "onnxruntime/planner.h"
#include "runtime/failure.h"

namespace rknn_ep {
namespace {

std::mutex mutex;
KeyValues metadata;

}  // namespace

ort::OrtKeyValuePairs* device_metadata(const ort::OrtApi& api) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (metadata.all().empty()) return nullptr;
  ort::OrtKeyValuePairs* pairs = nullptr;
  api.CreateKeyValuePairs(&pairs);
  for (const auto& [key, value] : metadata.all()) api.AddKeyValuePair(pairs, key.c_str(), value.c_str());
  return pairs;
}

}  // namespace rknn_ep

void rknn_ep_set_device_metadata(const char* key_values) {
  rknn_ep::guarded([&] {
    rknn_ep::KeyValues given(key_values == nullptr ? "" : key_values);
    const std::lock_guard<std::mutex> lock(rknn_ep::mutex);
    rknn_ep::metadata = std::move(given);
  });
}
