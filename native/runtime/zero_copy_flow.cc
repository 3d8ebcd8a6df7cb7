// The zero-copy flow, the only one of RV1103, RV1106 and RK2118: memory that the device reads and writes itself is
// bound once, in the type and layout that the device asks for, because small runtimes convert nothing.
#include <cstring>
#include <vector>

#include "runtime/device_tensor.h"
#include "runtime/failure.h"
#include "runtime/flow.h"
#include "runtime/fork.h"

namespace rknn_ep {
namespace {

// Gives memory back, except in a forked process: there it belongs to the parent.
struct Release {
  const RknnLibrary* library;
  rknn_context context;
  uint64_t generation;
  void operator()(rknn_tensor_mem* memory) const {
    if (!forked_since(generation)) library->destroy_mem(context, memory);
  }
};

struct Port {
  std::unique_ptr<const DeviceTensor> tensor;
  std::unique_ptr<rknn_tensor_mem, Release> memory;
};

class ZeroCopyFlow final : public Flow {
 public:
  ZeroCopyFlow(rknn_context context, const Calls& calls) : context_(context), calls_(calls) {
    for (const TensorSpec& spec : calls_.interface.inputs) bind(inputs_, spec, RKNN_QUERY_NATIVE_INPUT_ATTR);
    for (const TensorSpec& spec : calls_.interface.outputs) bind(outputs_, spec, RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR);
  }

  // rknn_run flushes the caches of bound memory itself, unless rknn_init was told not to.
  void run(const void* const* inputs, void* const* outputs) override {
    for (size_t i = 0; i < inputs_.size(); ++i) inputs_[i].tensor->store(inputs[i], inputs_[i].memory->virt_addr);
    calls_.check("rknn_run", calls_.library.run(context_, nullptr));
    for (size_t i = 0; i < outputs_.size(); ++i) outputs_[i].tensor->load(outputs_[i].memory->virt_addr, outputs[i]);
  }

 private:
  void bind(std::vector<Port>& ports, const TensorSpec& spec, rknn_query_cmd query) {
    const RknnLibrary& library = calls_.library;
    rknn_tensor_attr attr{};
    attr.index = static_cast<uint32_t>(ports.size());
    calls_.check("rknn_query", library.query(context_, query, &attr, sizeof(attr)));
    auto tensor = DeviceTensor::open(spec, attr);
    const uint32_t bytes = tensor->bytes();
    std::unique_ptr<rknn_tensor_mem, Release> memory(library.create_mem(context_, bytes),
                                                     Release{&library, context_, generation_});
    if (memory == nullptr || memory->virt_addr == nullptr) {
      throw Failure("partition " + calls_.interface.partition + ": rknn_create_mem gave no " + std::to_string(bytes) +
                    " bytes for '" + spec.name + "' in " + library.name);
    }
    std::memset(memory->virt_addr, 0, bytes);  // padding is never written again
    calls_.check("rknn_set_io_mem", library.set_io_mem(context_, memory.get(), &attr));
    ports.push_back({std::move(tensor), std::move(memory)});
  }

  const rknn_context context_;
  const Calls calls_;
  const uint64_t generation_ = fork_generation();
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
};

}  // namespace

std::unique_ptr<Flow> open_zero_copy_flow(rknn_context context, const Calls& calls) {
  return std::make_unique<ZeroCopyFlow>(context, calls);
}

}  // namespace rknn_ep
