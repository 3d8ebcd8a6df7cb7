#include <unistd.h>

#include <memory>

#include "simulator/engine.h"
#include "simulator/failure.h"
#include "simulator/weights.h"

namespace rknn_ep::simulator {
namespace {

template <typename T, typename Release>
std::unique_ptr<T, Release> owned(T* pointer, Release release) {
  return std::unique_ptr<T, Release>(pointer, release);
}

// Bytes of weights from which memory counts for more than speed. ONNX Runtime's float convolutions are 1.5 to 2.7 times
// as fast with weights in a layout of their own, of which it holds two copies beside the file; without, it reads the
// file.
constexpr size_t kLargeWeights = size_t{128} << 20;

std::string shape_text(const std::vector<int64_t>& dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i) text += (i ? "," : "") + std::to_string(dims[i]);
  return text + "]";
}

}  // namespace

Session::Session(std::shared_ptr<Engine> engine, const EngineOptions& options, Bytes model, const Weights& weights,
                 const Description& description, const SessionExtras& extras)
    : engine_(std::move(engine)), threads_(options.threads), process_(::getpid()) {
  const ort::OrtApi& api = engine_->api();
  const auto check = [&](ort::OrtStatus* status) {
    engine_->check(status, RKNN_ERR_MODEL_INVALID, "the simulation model cannot be loaded");
  };
  ort::OrtSessionOptions* raw_options = nullptr;
  check(api.CreateSessionOptions(&raw_options));
  const auto session_options =
      owned(raw_options, [&api](ort::OrtSessionOptions* pointer) { api.ReleaseSessionOptions(pointer); });
  check(api.SetIntraOpNumThreads(raw_options, options.threads));
  check(api.SetInterOpNumThreads(raw_options, 1));
  check(api.SetSessionLogSeverityLevel(raw_options, ort::ORT_LOGGING_LEVEL_ERROR));
  check(api.SetSessionGraphOptimizationLevel(raw_options, options.exact ? ort::ORT_DISABLE_ALL : ort::ORT_ENABLE_ALL));
  // AVX2 without VNNI multiplies u8 by s8 with 16-bit saturation; with this, weights become u8 there and nothing is
  // lost.
  check(api.AddSessionConfigEntry(raw_options, "session.x64quantprecision", "1"));

  if (!extras.profile_prefix.empty()) check(api.EnableProfiling(raw_options, extras.profile_prefix.c_str()));
  if (!options.exact) check(api.AddCustomOpDomain(raw_options, engine_->operators()));
  for (ort::OrtCustomOpDomain* domain : extras.custom_ops) check(api.AddCustomOpDomain(raw_options, domain));

  create(raw_options, model, weights);
  try {
    verify(description.inputs, true);
    verify(description.outputs, false);
  } catch (...) {
    api.ReleaseSession(session_);
    throw;
  }
  for (const auto* list : {&description.inputs, &description.outputs}) {
    for (const Tensor& tensor : *list) names_.push_back(tensor.name);
  }
  for (size_t i = 0; i < names_.size(); ++i) {
    (i < description.inputs.size() ? input_names_ : output_names_).push_back(names_[i].c_str());
  }
}

void Session::create(ort::OrtSessionOptions* options, Bytes model, const Weights& weights) {
  const ort::OrtApi& api = engine_->api();
  const auto check = [&](ort::OrtStatus* status) {
    engine_->check(status, RKNN_ERR_MODEL_INVALID, "the simulation model cannot be loaded");
  };
  const std::vector<ExternalTensor> tensors = external_tensors(model, weights.bytes.size);
  if (!weights.path.empty() && !tensors.empty()) {
    const size_t slash = weights.path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : weights.path.substr(0, slash + 1);
    const std::string text = relocated(model, weights.path.substr(slash + 1), weights.begin);
    check(api.AddSessionConfigEntry(options, "session.model_external_initializers_file_folder_path", folder.c_str()));
    if (weights.bytes.size >= kLargeWeights) {
      check(api.AddSessionConfigEntry(options, "optimization.disable_specified_optimizers", "NchwcTransformer"));
    }
    check(api.CreateSessionFromArray(engine_->environment(), text.data(), text.size(), options, &session_));
    return;
  }
  std::vector<Value> values;
  std::vector<const char*> names;
  std::vector<const ort::OrtValue*> pointers;
  for (const ExternalTensor& tensor : tensors) {
    values.emplace_back(engine_, const_cast<uint8_t*>(weights.bytes.data + tensor.offset), tensor.size, tensor.dims,
                        static_cast<ort::ONNXTensorElementDataType>(tensor.element_type));
    names.push_back(tensor.name.c_str());
    pointers.push_back(values.back().get());
  }
  if (!names.empty()) check(api.AddExternalInitializers(options, names.data(), pointers.data(), names.size()));
  check(api.CreateSessionFromArray(engine_->environment(), model.data, model.size, options, &session_));
}

Session::~Session() {
  if (!lost_its_threads()) engine_->api().ReleaseSession(session_);
}

bool Session::lost_its_threads() const { return threads_ > 1 && process_ != ::getpid(); }

void Session::run(const ort::OrtValue* const* inputs, ort::OrtValue** outputs) const {
  if (lost_its_threads()) {
    throw Failure(RKNN_ERR_FAIL,
                  "a context with several simulation threads cannot be used after fork(): make a new one");
  }
  engine_->check(engine_->api().Run(session_, nullptr, input_names_.data(), inputs, input_names_.size(),
                                    output_names_.data(), output_names_.size(), outputs),
                 RKNN_ERR_FAIL, "the simulation failed");
}

std::string Session::end_profiling() const {
  const ort::OrtApi& api = engine_->api();
  ort::OrtAllocator* allocator = nullptr;
  engine_->check(api.GetAllocatorWithDefaultOptions(&allocator), RKNN_ERR_FAIL, "no allocator");
  char* name = nullptr;
  engine_->check(api.SessionEndProfiling(session_, allocator, &name), RKNN_ERR_FAIL, "no profile");
  const std::string path = name;
  engine_->check(api.AllocatorFree(allocator, name), RKNN_ERR_FAIL, "no profile");
  return path;
}

// The buffers that `run` binds are made from the description: it must be true of the model, element by element.
void Session::verify(const std::vector<Tensor>& tensors, bool inputs) const {
  const ort::OrtApi& api = engine_->api();
  const auto check = [&](ort::OrtStatus* status) {
    engine_->check(status, RKNN_ERR_MODEL_INVALID, "the simulation model cannot be read");
  };
  size_t count = 0;
  check(inputs ? api.SessionGetInputCount(session_, &count) : api.SessionGetOutputCount(session_, &count));
  if (count != tensors.size()) {
    throw Failure(RKNN_ERR_MODEL_INVALID, "native.txt describes " + std::to_string(tensors.size()) +
                                              (inputs ? " inputs" : " outputs") + ", the simulation model has " +
                                              std::to_string(count));
  }
  ort::OrtAllocator* allocator = nullptr;
  check(api.GetAllocatorWithDefaultOptions(&allocator));
  for (size_t i = 0; i < count; ++i) {
    char* raw_name = nullptr;
    check(inputs ? api.SessionGetInputName(session_, i, allocator, &raw_name)
                 : api.SessionGetOutputName(session_, i, allocator, &raw_name));
    const std::string name = raw_name;
    check(api.AllocatorFree(allocator, raw_name));
    ort::OrtTypeInfo* raw_info = nullptr;
    check(inputs ? api.SessionGetInputTypeInfo(session_, i, &raw_info)
                 : api.SessionGetOutputTypeInfo(session_, i, &raw_info));
    const auto info = owned(raw_info, [&api](ort::OrtTypeInfo* pointer) { api.ReleaseTypeInfo(pointer); });
    const ort::OrtTensorTypeAndShapeInfo* shape = nullptr;
    check(api.CastTypeInfoToTensorInfo(raw_info, &shape));
    if (!shape) throw Failure(RKNN_ERR_MODEL_INVALID, "'" + name + "' of the simulation model is not a tensor");
    ort::ONNXTensorElementDataType type = ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    check(api.GetTensorElementType(shape, &type));
    size_t rank = 0;
    check(api.GetDimensionsCount(shape, &rank));
    std::vector<int64_t> dims(rank);
    check(api.GetDimensions(shape, dims.data(), rank));
    const Tensor& tensor = tensors[i];
    if (name != tensor.name || type != ort_type(tensor.session_type) || dims != tensor.dims) {
      throw Failure(RKNN_ERR_MODEL_INVALID, "native.txt describes '" + tensor.name + "' as " +
                                                type_name(tensor.session_type) + shape_text(tensor.dims) +
                                                ", the simulation model has '" + name + "' of ONNX type " +
                                                std::to_string(type) + shape_text(dims));
    }
  }
}

}  // namespace rknn_ep::simulator
