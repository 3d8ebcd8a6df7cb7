#include <memory>

#include "runtime/binding.h"
#include "runtime/executor.h"
#include "runtime/failure.h"
#include "runtime/host_onnxruntime.h"
#include "runtime/library.h"
#include "runtime/rknn_ep.h"

namespace {

using rknn_ep::BundleSource;
using rknn_ep::Executor;
using rknn_ep::Failure;
using rknn_ep::KeyValues;
using rknn_ep::TensorSpec;

// What callers hold. Bindings keep the executor alive, so that it may be closed before them.
struct OpenExecutor {
  std::shared_ptr<Executor> executor;
  size_t shape = 0;  // which choice of input shapes
  std::string description;

  const rknn_ep::Interface& interface() const { return executor->interface(shape); }
};

struct OpenBinding {
  std::shared_ptr<Executor> executor;
  std::unique_ptr<rknn_ep::Binding> binding;
  std::string description;
};

KeyValues parsed(const char* options_text) { return KeyValues(options_text == nullptr ? "" : options_text); }

void* opened(const BundleSource& model, const char* library_path, const KeyValues& options) {
  auto handle = std::make_unique<OpenExecutor>();
  handle->executor =
      rknn_ep::open_rknn_executor(model, library_path, options, rknn_ep::host_onnxruntime(options.get("onnxruntime")));
  handle->description = handle->executor->describe().text();
  return handle.release();
}

template <typename Handle>
Handle& given(void* handle, const char* function) {
  if (handle == nullptr) throw Failure(std::string(function) + ": the handle is null");
  return *static_cast<Handle*>(handle);
}

void check_count(const char* kind, size_t wanted, uint64_t count) {
  if (count == wanted) return;
  throw Failure("the partition has " + std::to_string(wanted) + " " + kind + "s, not " + std::to_string(count));
}

void check_sizes(const char* kind, const std::vector<TensorSpec>& specs, const uint64_t* sizes, uint64_t count) {
  check_count(kind, specs.size(), count);
  for (uint64_t index = 0; index < count; ++index) {
    const TensorSpec& spec = specs[index];
    if (sizes[index] == spec.bytes) continue;
    throw Failure(std::string(kind) + " '" + spec.name + "' holds " + std::to_string(sizes[index]) + " bytes, but " +
                  spec.type_name + rknn_ep::shape_text(spec.dims.data(), spec.dims.size()) + " has " +
                  std::to_string(spec.bytes));
  }
}

void check_addresses(const char* kind, const void* const* addresses, uint64_t count) {
  for (uint64_t index = 0; index < count; ++index) {
    if (addresses[index] == nullptr) throw Failure(std::string(kind) + " " + std::to_string(index) + " is null");
  }
}

}  // namespace

extern "C" {

const char* rknn_ep_last_error(void) { return rknn_ep::last_error().c_str(); }

void rknn_ep_set_last_error(const char* text) {
  rknn_ep::guarded([&] { rknn_ep::last_error() = text == nullptr ? "" : text; });
}

const char* rknn_ep_version(void) { return RKNN_EP_VERSION; }

int rknn_ep_executor_open(const char* model_path, const char* library_path, const char* options_text, void** executor) {
  return rknn_ep::guarded([&] {
    if (model_path == nullptr || library_path == nullptr || executor == nullptr) {
      throw Failure("rknn_ep_executor_open: a required argument is null");
    }
    *executor = nullptr;
    *executor = opened(BundleSource::open_file(model_path), library_path, parsed(options_text));
  });
}

int rknn_ep_executor_open_memory(const void* bundle, uint64_t size, const char* library_path, const char* options_text,
                                 void** executor) {
  return rknn_ep::guarded([&] {
    if (bundle == nullptr || executor == nullptr) {
      throw Failure("rknn_ep_executor_open_memory: a required argument is null");
    }
    *executor = nullptr;
    const KeyValues options = parsed(options_text);
    const std::string library = library_path == nullptr ? rknn_ep::device_library(options) : library_path;
    *executor =
        opened(BundleSource::open_memory(bundle, size, nullptr, "the bundle in memory"), library.c_str(), options);
  });
}

int rknn_ep_executor_run(void* executor, const void* const* inputs, const uint64_t* input_sizes, uint64_t n_inputs,
                         void* const* outputs, const uint64_t* output_sizes, uint64_t n_outputs) {
  return rknn_ep::guarded([&] {
    OpenExecutor& open = given<OpenExecutor>(executor, "rknn_ep_executor_run");
    check_sizes("input", open.interface().inputs, input_sizes, n_inputs);
    check_sizes("output", open.interface().outputs, output_sizes, n_outputs);
    check_addresses("input", inputs, n_inputs);
    check_addresses("output", outputs, n_outputs);
    open.executor->run(inputs, outputs, open.shape);
  });
}

int rknn_ep_executor_run_inputs(void* executor, const rknn_ep_input* inputs, uint64_t n_inputs, void* const* outputs,
                                const uint64_t* output_sizes, uint64_t n_outputs) {
  return rknn_ep::guarded([&] {
    OpenExecutor& open = given<OpenExecutor>(executor, "rknn_ep_executor_run_inputs");
    check_count("input", open.interface().inputs.size(), n_inputs);
    check_sizes("output", open.interface().outputs, output_sizes, n_outputs);
    check_addresses("output", outputs, n_outputs);
    std::vector<rknn_input> forms(n_inputs);
    for (uint64_t index = 0; index < n_inputs; ++index) {
      const rknn_ep_input& input = inputs[index];
      if (input.data == nullptr || input.size > UINT32_MAX || input.type < 0 || input.type >= RKNN_TENSOR_TYPE_MAX ||
          input.format < 0 || input.format >= RKNN_TENSOR_FORMAT_MAX) {
        throw Failure("input '" + open.interface().inputs[index].name +
                      "': its data is null, or its size, type or format is none of rknn_api's");
      }
      forms[index].index = static_cast<uint32_t>(index);
      forms[index].buf = const_cast<void*>(input.data);
      forms[index].size = static_cast<uint32_t>(input.size);
      forms[index].pass_through = input.pass_through != 0;
      forms[index].type = static_cast<rknn_tensor_type>(input.type);
      forms[index].fmt = static_cast<rknn_tensor_format>(input.format);
    }
    open.executor->run_inputs(forms.data(), outputs, open.shape);
  });
}

int rknn_ep_executor_shape(void* executor, uint64_t shape, void** executor_at_shape) {
  return rknn_ep::guarded([&] {
    if (executor_at_shape == nullptr) throw Failure("rknn_ep_executor_shape: a required argument is null");
    *executor_at_shape = nullptr;
    const auto& open = given<OpenExecutor>(executor, "rknn_ep_executor_shape");
    if (shape >= open.executor->shapes()) {
      throw Failure("the model has " + std::to_string(open.executor->shapes()) +
                    " choices of input shapes, no number " + std::to_string(shape));
    }
    auto handle = std::make_unique<OpenExecutor>();
    handle->executor = open.executor;
    handle->shape = shape;
    handle->description = handle->executor->describe(shape).text();
    *executor_at_shape = handle.release();
  });
}

const char* rknn_ep_executor_describe(void* executor) {
  return executor == nullptr ? nullptr : static_cast<OpenExecutor*>(executor)->description.c_str();
}

int rknn_ep_executor_shut_down(void* executor) {
  return rknn_ep::guarded([&] { given<OpenExecutor>(executor, "rknn_ep_executor_shut_down").executor->shut_down(); });
}

void rknn_ep_executor_close(void* executor) {
  rknn_ep::guarded([&] { delete static_cast<OpenExecutor*>(executor); });
}

int rknn_ep_binding_open(void* executor, const char* options_text, void** binding) {
  return rknn_ep::guarded([&] {
    if (binding == nullptr) throw Failure("rknn_ep_binding_open: a required argument is null");
    *binding = nullptr;
    auto handle = std::make_unique<OpenBinding>();
    const auto& open = given<OpenExecutor>(executor, "rknn_ep_binding_open");
    handle->executor = open.executor;
    handle->binding = handle->executor->bind(parsed(options_text), open.shape);
    handle->description = handle->binding->describe().text();
    *binding = handle.release();
  });
}

const char* rknn_ep_binding_describe(void* binding) {
  return binding == nullptr ? nullptr : static_cast<OpenBinding*>(binding)->description.c_str();
}

int rknn_ep_binding_memory(void* binding, int output, uint64_t index, void** address, uint64_t* size,
                           int32_t* descriptor) {
  return rknn_ep::guarded([&] {
    const rknn_ep::Binding& open = *given<OpenBinding>(binding, "rknn_ep_binding_memory").binding;
    const auto& memories = output != 0 ? open.outputs() : open.inputs();
    if (index >= memories.size()) {
      throw Failure("the binding has " + std::to_string(memories.size()) + (output != 0 ? " outputs" : " inputs") +
                    ", no number " + std::to_string(index));
    }
    const rknn_ep::IoMemory& memory = memories[index];
    if (address != nullptr) *address = memory.address();
    if (size != nullptr) *size = memory.bytes();
    if (descriptor != nullptr) *descriptor = memory.descriptor();
  });
}

int rknn_ep_binding_run(void* binding) {
  return rknn_ep::guarded([&] { given<OpenBinding>(binding, "rknn_ep_binding_run").binding->run(); });
}

void rknn_ep_binding_close(void* binding) {
  rknn_ep::guarded([&] { delete static_cast<OpenBinding*>(binding); });
}

}  // extern "C"
