#include <memory>

#include "runtime/executor.h"
#include "runtime/failure.h"
#include "runtime/library.h"
#include "runtime/rknn_ep.h"

namespace {

using rknn_ep::Executor;
using rknn_ep::Failure;
using rknn_ep::TensorSpec;

void check_sizes(const char* kind, const std::vector<TensorSpec>& specs, const uint64_t* sizes, uint64_t count) {
  if (count != specs.size()) {
    throw Failure("the partition has " + std::to_string(specs.size()) + " " + kind + "s, not " + std::to_string(count));
  }
  for (uint64_t index = 0; index < count; ++index) {
    const TensorSpec& spec = specs[index];
    if (sizes[index] == spec.bytes) continue;
    throw Failure(std::string(kind) + " '" + spec.name + "' holds " + std::to_string(sizes[index]) + " bytes, but " +
                  spec.type_name + rknn_ep::shape_text(spec.dims.data(), spec.dims.size()) + " has " +
                  std::to_string(spec.bytes));
  }
}

}  // namespace

extern "C" {

const char* rknn_ep_last_error(void) { return rknn_ep::last_error().c_str(); }

void rknn_ep_set_last_error(const char* text) {
  rknn_ep::guarded([&] { rknn_ep::last_error() = text == nullptr ? "" : text; });
}

const char* rknn_ep_version(void) { return RKNN_EP_VERSION; }

int rknn_ep_executor_open(const char* bundle_path, const char* library_path, const char* options_text,
                          void** executor) {
  return rknn_ep::guarded([&] {
    if (bundle_path == nullptr || library_path == nullptr || executor == nullptr) {
      throw Failure("rknn_ep_executor_open: a required argument is null");
    }
    *executor = nullptr;
    const rknn_ep::KeyValues options(options_text == nullptr ? "" : options_text);
    *executor =
        rknn_ep::open_rknn_executor(rknn_ep::BundleSource::open_file(bundle_path), library_path, options, nullptr)
            .release();
  });
}

int rknn_ep_executor_open_memory(const void* bundle, uint64_t size, const char* library_path, const char* options_text,
                                 void** executor) {
  return rknn_ep::guarded([&] {
    if (bundle == nullptr || executor == nullptr) {
      throw Failure("rknn_ep_executor_open_memory: a required argument is null");
    }
    *executor = nullptr;
    const rknn_ep::KeyValues options(options_text == nullptr ? "" : options_text);
    const std::string library = library_path == nullptr ? rknn_ep::device_library(options) : library_path;
    const auto source = rknn_ep::BundleSource::open_memory(bundle, size, nullptr, "the bundle in memory");
    *executor = rknn_ep::open_rknn_executor(source, library, options, nullptr).release();
  });
}

int rknn_ep_executor_run(void* executor, const void* const* inputs, const uint64_t* input_sizes, uint64_t n_inputs,
                         void* const* outputs, const uint64_t* output_sizes, uint64_t n_outputs) {
  return rknn_ep::guarded([&] {
    if (executor == nullptr) throw Failure("rknn_ep_executor_run: the executor is null");
    auto& opened = *static_cast<Executor*>(executor);
    check_sizes("input", opened.interface().inputs, input_sizes, n_inputs);
    check_sizes("output", opened.interface().outputs, output_sizes, n_outputs);
    opened.run(inputs, outputs);
  });
}

void rknn_ep_executor_close(void* executor) {
  rknn_ep::guarded([&] { delete static_cast<Executor*>(executor); });
}

}  // extern "C"
