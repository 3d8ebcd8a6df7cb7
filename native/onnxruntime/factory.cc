// The library's entry points for ONNX Runtime, and the factory that makes a provider for each session.
#include <atomic>
#include <memory>
#include <string>

#include "abi/ort_plugin.h"
#include "onnxruntime/device_metadata.h"
#include "onnxruntime/host_memory.h"
#include "onnxruntime/provider.h"
#include "onnxruntime/status.h"
#include "runtime/host_onnxruntime.h"
#include "runtime/rknn_ep.h"

namespace rknn_ep {
namespace {

constexpr char kVendor[] = "Rockchip";
constexpr uint32_t kVendorId = 0x1d87;  // Rockchip's PCI vendor number
constexpr int kFirstWithVirtualDevices = 24;

class Factory final : public ort::OrtEpFactory {
 public:
  Factory(const ort::OrtApi& api, const char* version, int minor_version)
      : ort::OrtEpFactory{}, api_(api), ort_version_(version == nullptr ? "" : version), minor_version_(minor_version) {
    ort_version_supported = ort::kApiVersion;
    GetName = [](const ort::OrtEpFactory*) noexcept { return kProviderName; };
    GetVendor = [](const ort::OrtEpFactory*) noexcept { return kVendor; };
    GetVendorId = [](const ort::OrtEpFactory*) noexcept { return kVendorId; };
    GetVersion = [](const ort::OrtEpFactory*) noexcept { return static_cast<const char*>(RKNN_EP_VERSION); };
    GetSupportedDevices = &get_supported_devices;
    CreateEp = &create_ep;
    ReleaseEp = &release_ep;
    ValidateCompiledModelCompatibilityInfo = &validate;
    CreateAllocator = [](ort::OrtEpFactory* self, const ort::OrtMemoryInfo*, const ort::OrtKeyValuePairs*,
                         ort::OrtAllocator** allocator) noexcept -> ort::OrtStatus* {
      const ort::OrtApi& own = static_cast<Factory*>(self)->api_;
      return as_status(own, ort::ORT_EP_FAIL, [&] { *allocator = &HostMemory::of(own); });
    };
    ReleaseAllocator = [](ort::OrtEpFactory*, ort::OrtAllocator*) noexcept {};
    CreateDataTransfer = [](ort::OrtEpFactory*, ort::OrtDataTransferImpl** transfer) noexcept -> ort::OrtStatus* {
      *transfer = nullptr;
      return nullptr;
    };
    IsStreamAware = [](const ort::OrtEpFactory*) noexcept { return false; };
  }

  // A session that outlives the unregistering of the library still gives its provider back through the factory: the
  // factory lives as long as the registration or any provider of it.
  void release() noexcept {
    if (users_.fetch_sub(1) == 1) delete this;
  }

  // The devices belong to the registration.
  void unregister() noexcept {
    if (virtual_device_ != nullptr) api_.GetEpApi()->ReleaseHardwareDevice(virtual_device_);
    virtual_device_ = nullptr;
    release();
  }
  Factory(const Factory&) = delete;
  Factory& operator=(const Factory&) = delete;

 private:
  ~Factory() = default;

  static ort::OrtStatus* get_supported_devices(ort::OrtEpFactory* self, const ort::OrtHardwareDevice* const* devices,
                                               size_t device_count, ort::OrtEpDevice** ep_devices,
                                               size_t max_ep_devices, size_t* ep_device_count) noexcept {
    auto& factory = *static_cast<Factory*>(self);
    *ep_device_count = 0;
    return as_status(factory.api_, ort::ORT_EP_FAIL, [&] {
      if (max_ep_devices == 0) return;
      const ort::OrtHardwareDevice* const device = factory.npu(devices, device_count);
      if (device == nullptr) return;
      ort::OrtKeyValuePairs* const metadata = device_metadata(factory.api_);
      ort::OrtStatus* const status =
          factory.api_.GetEpApi()->CreateEpDevice(&factory, device, metadata, nullptr, &ep_devices[0]);
      factory.api_.ReleaseKeyValuePairs(metadata);
      check(factory.api_, status);
      check(factory.api_,
            factory.api_.GetEpApi()->EpDevice_AddAllocatorInfo(ep_devices[0], HostMemory::of(factory.api_).info()));
      *ep_device_count = 1;
    });
  }

  static ort::OrtStatus* create_ep(ort::OrtEpFactory* self, const ort::OrtHardwareDevice* const*,
                                   const ort::OrtKeyValuePairs* const*, size_t, const ort::OrtSessionOptions* options,
                                   const ort::OrtLogger* logger, ort::OrtEp** ep) noexcept {
    auto& factory = *static_cast<Factory*>(self);
    *ep = nullptr;
    return as_status(factory.api_, ort::ORT_EP_FAIL, [&] {
      *ep = std::make_unique<Provider>(factory.api_, factory.ort_version_, factory.minor_version_,
                                       SessionSettings::read(factory.api_, *options), logger)
                .release();
      factory.users_.fetch_add(1);
    });
  }

  static void release_ep(ort::OrtEpFactory* self, ort::OrtEp* ep) noexcept {
    guarded([&] { delete static_cast<Provider*>(ep); });
    static_cast<Factory*>(self)->release();
  }

  // `info` is what Provider::compatibility() wrote into a compiled model.
  static ort::OrtStatus* validate(ort::OrtEpFactory* self, const ort::OrtHardwareDevice* const*, size_t,
                                  const char* info, ort::OrtCompiledModelCompatibility* verdict) noexcept {
    auto& factory = *static_cast<Factory*>(self);
    *verdict = ort::OrtCompiledModelCompatibility_EP_NOT_APPLICABLE;
    return as_status(factory.api_, ort::ORT_EP_FAIL, [&] {
      const std::string text = std::string(";") + (info == nullptr ? "" : info) + ";";
      if (text.find(";rknn_ep=") == std::string::npos) return;
      *verdict = text.find(";format=1;") != std::string::npos ? ort::OrtCompiledModelCompatibility_EP_SUPPORTED_OPTIMAL
                                                              : ort::OrtCompiledModelCompatibility_EP_UNSUPPORTED;
    });
  }

  // A virtual NPU where ONNX Runtime can make one; before that the CPU device has to stand in.
  const ort::OrtHardwareDevice* npu(const ort::OrtHardwareDevice* const* devices, size_t count) {
    if (minor_version_ >= kFirstWithVirtualDevices) {
      if (virtual_device_ == nullptr) {
        check(api_, api_.GetEpApi()->CreateHardwareDevice(ort::OrtHardwareDeviceType_NPU, kVendorId, uint32_t{0},
                                                          kVendor, nullptr, &virtual_device_));
      }
      return virtual_device_;
    }
    for (size_t index = 0; index < count; ++index) {
      if (api_.HardwareDevice_Type(devices[index]) == ort::OrtHardwareDeviceType_CPU) return devices[index];
    }
    return nullptr;
  }

  const ort::OrtApi& api_;
  const std::string ort_version_;
  const int minor_version_;
  ort::OrtHardwareDevice* virtual_device_ = nullptr;
  std::atomic<int> users_{1};
};

}  // namespace
}  // namespace rknn_ep

extern "C" {

RKNN_EP_EXPORT rknn_ep::ort::OrtStatus* CreateEpFactories(const char*, const rknn_ep::ort::OrtApiBase* base,
                                                          const rknn_ep::ort::OrtLogger*,
                                                          rknn_ep::ort::OrtEpFactory** factories, size_t max_factories,
                                                          size_t* factory_count) noexcept {
  const rknn_ep::ort::OrtApi* const api = base->GetApi(rknn_ep::ort::kApiVersion);
  if (api == nullptr) {
    // Every ONNX Runtime that can load a provider library has the entries up to API 22, which is all that is used here.
    const rknn_ep::ort::OrtApi* const old = base->GetApi(22);
    return old == nullptr
               ? nullptr
               : old->CreateStatus(rknn_ep::ort::ORT_NOT_IMPLEMENTED,
                                   "rknn_ep needs ONNX Runtime 1.23 or later: pip install 'onnxruntime>=1.23'");
  }
  *factory_count = 0;
  rknn_ep::remember_onnxruntime(api);
  return rknn_ep::as_status(*api, rknn_ep::ort::ORT_EP_FAIL, [&] {
    if (max_factories == 0) throw rknn_ep::Failure("ONNX Runtime leaves no room for a provider factory");
    factories[0] = new rknn_ep::Factory(*api, base->GetVersionString(), rknn_ep::ort::running_minor_version(*base));
    *factory_count = 1;
  });
}

RKNN_EP_EXPORT rknn_ep::ort::OrtStatus* ReleaseEpFactory(rknn_ep::ort::OrtEpFactory* factory) noexcept {
  static_cast<rknn_ep::Factory*>(factory)->unregister();
  return nullptr;
}

}  // extern "C"
