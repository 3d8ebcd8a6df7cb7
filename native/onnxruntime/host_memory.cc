#include "onnxruntime/host_memory.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "onnxruntime/provider.h"
#include "onnxruntime/status.h"

namespace rknn_ep {
namespace {

constexpr size_t kAlignment = 64;       // a cache line, and what the widest vector instructions like
constexpr uint32_t kVendorId = 0x1d87;  // as the device's

void* allocate(size_t size) noexcept {
  if (size > SIZE_MAX - kAlignment) return nullptr;
  return std::aligned_alloc(kAlignment, std::max<size_t>(1, (size + kAlignment - 1) / kAlignment) * kAlignment);
}

}  // namespace

HostMemory& HostMemory::of(const ort::OrtApi& api) {
  static std::mutex mutex;
  static auto& made = *new std::map<const ort::OrtApi*, std::unique_ptr<HostMemory>>();
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<HostMemory>& memory = made[&api];
  if (memory == nullptr) memory.reset(new HostMemory(api));
  return *memory;
}

HostMemory::HostMemory(const ort::OrtApi& api) : ort::OrtAllocator{} {
  version = ort::kApiVersion;
  Alloc = [](ort::OrtAllocator*, size_t size) noexcept { return allocate(size); };
  Free = [](ort::OrtAllocator*, void* memory) noexcept { std::free(memory); };
  Info = [](const ort::OrtAllocator* self) noexcept { return static_cast<const HostMemory*>(self)->info(); };
  Reserve = Alloc;
  check(api,
        api.CreateMemoryInfo_V2(kProviderName, ort::OrtMemoryInfoDeviceType_NPU, kVendorId, 0,
                                ort::OrtDeviceMemoryType_HOST_ACCESSIBLE, kAlignment, ort::OrtDeviceAllocator, &info_));
}

}  // namespace rknn_ep
