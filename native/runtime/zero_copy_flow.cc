// The zero-copy flow, the only one of RV1103, RV1106 and RK2118: memory that the device reads and writes itself is
// bound once, in the type and layout that the device asks for, because small runtimes convert nothing.
#include <cstring>
#include <string>
#include <vector>

#include "runtime/device_tensor.h"
#include "runtime/failure.h"
#include "runtime/flow.h"
#include "runtime/io_memory.h"

namespace rknn_ep {
namespace {

struct Port {
  std::unique_ptr<const DeviceTensor> tensor;
  IoMemory memory;
};

class ZeroCopyFlow final : public Flow {
 public:
  ZeroCopyFlow(rknn_context context, const Calls& calls) : context_(context), calls_(calls) {
    for (const TensorSpec& spec : calls_.interface.inputs) bind(inputs_, spec, RKNN_QUERY_NATIVE_INPUT_ATTR);
    for (const TensorSpec& spec : calls_.interface.outputs) bind(outputs_, spec, RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR);
  }

  // rknn_run flushes the caches of bound memory itself, unless rknn_init was told not to.
  void run(const void* const* inputs, void* const* outputs) override {
    for (size_t i = 0; i < inputs_.size(); ++i) inputs_[i].tensor->store(inputs[i], inputs_[i].memory.address());
    compute(outputs);
  }

  void run_inputs(const rknn_input* inputs, void* const* outputs) override {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const rknn_tensor_attr& attr = inputs_[i].memory.attr();
      const rknn_input& input = inputs[i];
      if (input.pass_through == 0 || input.size < attr.size || input.size > inputs_[i].memory.bytes()) {
        throw Failure("input '" + std::string(attr.name) + "' of partition " + calls_.interface.partition +
                      ": io_mode=zero_copy takes the model's own type at the border, or the device's " +
                      std::to_string(inputs_[i].memory.bytes()) + " bytes as they are");
      }
      std::memcpy(inputs_[i].memory.address(), input.buf, input.size);
    }
    compute(outputs);
  }

 private:
  void compute(void* const* outputs) {
    calls_.check("rknn_run", calls_.library.run(context_, nullptr));
    for (size_t i = 0; i < outputs_.size(); ++i) outputs_[i].tensor->load(outputs_[i].memory.address(), outputs[i]);
  }

  void bind(std::vector<Port>& ports, const TensorSpec& spec, rknn_query_cmd query) {
    const rknn_tensor_attr attr = query_attr(context_, calls_, query, ports.size());
    auto tensor = DeviceTensor::open(spec, attr);
    const uint32_t bytes = tensor->bytes();
    ports.push_back({std::move(tensor), IoMemory(context_, calls_, attr, bytes)});
  }

  const rknn_context context_;
  const Calls calls_;
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
};

}  // namespace

std::unique_ptr<Flow> open_zero_copy_flow(rknn_context context, const Calls& calls) {
  return std::make_unique<ZeroCopyFlow>(context, calls);
}

}  // namespace rknn_ep
