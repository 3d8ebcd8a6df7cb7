// Memory of the provider's that programs reach as well: an OrtValue that is made in it (OrtEpDevice's memory
// information, HOST_ACCESSIBLE) is bound to a session and handed to the partition at the same address, without a copy.
#pragma once

#include "abi/ort_api.h"
#include "abi/ort_plugin.h"

namespace rknn_ep {

// The allocator of one ONNX Runtime. It lives as long as the process: tensors may outlive sessions and registration.
class HostMemory final : public ort::OrtAllocator {
 public:
  // Throws Failure.
  static HostMemory& of(const ort::OrtApi& api);

  const ort::OrtMemoryInfo* info() const { return info_; }

 private:
  explicit HostMemory(const ort::OrtApi& api);

  ort::OrtMemoryInfo* info_ = nullptr;
};

}  // namespace rknn_ep
