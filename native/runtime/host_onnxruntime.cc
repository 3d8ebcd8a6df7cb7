#include "runtime/host_onnxruntime.h"

#include <dlfcn.h>

#include <atomic>

#include "abi/ort_api.h"
#include "runtime/failure.h"

namespace rknn_ep {
namespace {

std::atomic<const void*> remembered{nullptr};

}  // namespace

void remember_onnxruntime(const void* api) noexcept { remembered.store(api); }

const void* host_onnxruntime(const std::string& path) {
  if (const void* api = remembered.load()) return api;
  if (path.empty()) return nullptr;
  void* const library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* const reason = dlerror();
    throw Failure("cannot load ONNX Runtime from '" + path + "': " + (reason != nullptr ? reason : "no reason given"));
  }
  using GetBase = const ort::OrtApiBase* (*)();
  const auto get_base = reinterpret_cast<GetBase>(dlsym(library, "OrtGetApiBase"));
  const void* const api = get_base == nullptr ? nullptr : get_base()->GetApi(ort::kApiVersion);
  if (api == nullptr) throw Failure("'" + path + "' is no ONNX Runtime of version 1.23 or later");
  return api;
}

}  // namespace rknn_ep
