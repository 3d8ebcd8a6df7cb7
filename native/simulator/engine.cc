#include "simulator/engine.h"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>

#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

std::mutex engine_mutex;
const ort::OrtApi* engine_api = nullptr;
std::weak_ptr<Engine> current_engine;

const ort::OrtApi* api_of(void* library) {
  using GetBase = const ort::OrtApiBase* (*)();
  const auto get_base = reinterpret_cast<GetBase>(::dlsym(library, "OrtGetApiBase"));
  return get_base ? get_base()->GetApi(ort::kApiVersion) : nullptr;
}

// Finds ONNX Runtime for a program that does not bring one. A library that was loaded stays loaded.
const ort::OrtApi* find_api() {
  const char* named = std::getenv("RKNN_EP_ONNXRUNTIME");
  const bool by_name = named && *named;
  std::string tried;
  for (const char* name : {by_name ? named : "libonnxruntime.so", "libonnxruntime.so.1"}) {
    void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
    const char* reason = library ? "it is older than 1.23" : ::dlerror();
    if (library) {
      if (const ort::OrtApi* api = api_of(library)) return api;
    }
    tried += std::string(tried.empty() ? "" : "; ") + name + ": " + (reason ? reason : "cannot be loaded");
    if (by_name) break;
  }
  throw Failure(RKNN_ERR_FAIL,
                "the simulator computes with ONNX Runtime and found none. Set RKNN_EP_ONNXRUNTIME to the path of a "
                "libonnxruntime.so of version 1.23 or later (" +
                    tried + ")");
}

}  // namespace

void Engine::use(const ort::OrtApi* api) {
  const std::lock_guard<std::mutex> lock(engine_mutex);
  if (!api || api == engine_api) return;
  engine_api = api;
  current_engine.reset();
}

std::shared_ptr<Engine> Engine::acquire() {
  const std::lock_guard<std::mutex> lock(engine_mutex);
  if (std::shared_ptr<Engine> engine = current_engine.lock()) return engine;
  if (!engine_api) engine_api = find_api();
  std::shared_ptr<Engine> engine(new Engine(engine_api));
  current_engine = engine;
  return engine;
}

Engine::Engine(const ort::OrtApi* api) : api_(api), operators_(nullptr, ReleaseDomain{api}) {
  check(api_->CreateEnv(ort::ORT_LOGGING_LEVEL_ERROR, "rknn_ep_simulator", &environment_), RKNN_ERR_FAIL,
        "ONNX Runtime gives no environment");
  check(api_->CreateCpuMemoryInfo(ort::OrtDeviceAllocator, ort::OrtMemTypeDefault, &memory_), RKNN_ERR_FAIL,
        "ONNX Runtime gives no memory");
  check(make_operator_domain(*api_, operators_), RKNN_ERR_FAIL, "ONNX Runtime takes no operators");
}

Engine::~Engine() {
  if (memory_) api_->ReleaseMemoryInfo(memory_);
  if (environment_) api_->ReleaseEnv(environment_);
}

void Engine::check(ort::OrtStatus* status, int code, const char* what) const {
  if (!status) return;
  const std::string reason = std::string(what) + ": " + api_->GetErrorMessage(status);
  api_->ReleaseStatus(status);
  // ONNX Runtime has no code of its own for this.
  for (const char* said : {"bad_alloc", "Failed to allocate memory", "Cannot allocate memory"}) {
    if (reason.find(said) != std::string::npos) throw Failure(RKNN_ERR_MALLOC_FAIL, reason);
  }
  throw Failure(code, reason);
}

Value::Value(std::shared_ptr<Engine> engine, void* data, size_t bytes, const std::vector<int64_t>& dims,
             ort::ONNXTensorElementDataType type)
    : engine_(std::move(engine)) {
  engine_->check(engine_->api().CreateTensorWithDataAsOrtValue(engine_->memory(), data, bytes, dims.data(), dims.size(),
                                                               type, &value_),
                 RKNN_ERR_MODEL_INVALID, "a tensor cannot be made");
}

Value::Value(Value&& other) noexcept : engine_(std::move(other.engine_)), value_(other.value_) {
  other.value_ = nullptr;
}

Value::~Value() {
  if (value_) engine_->api().ReleaseValue(value_);
}

ort::ONNXTensorElementDataType ort_type(rknn_tensor_type type) {
  switch (type) {
    case RKNN_TENSOR_FLOAT32:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
    case RKNN_TENSOR_FLOAT16:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16;
    case RKNN_TENSOR_INT8:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8;
    case RKNN_TENSOR_UINT8:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    case RKNN_TENSOR_INT16:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16;
    case RKNN_TENSOR_UINT16:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16;
    case RKNN_TENSOR_INT32:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
    case RKNN_TENSOR_UINT32:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32;
    case RKNN_TENSOR_INT64:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
    case RKNN_TENSOR_BOOL:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL;
    default:
      return ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  }
}

}  // namespace rknn_ep::simulator
