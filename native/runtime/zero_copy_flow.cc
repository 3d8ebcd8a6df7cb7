// The zero-copy flow, the only one of RV1103, RV1106 and RK2118: memory that the device reads and writes itself is
// bound once, in the type and layout that the device asks for, because small runtimes convert nothing.
#include <algorithm>
#include <vector>

#include "runtime/device_side.h"
#include "runtime/flow.h"
#include "runtime/io_memory.h"

namespace rknn_ep {
namespace {

struct Port {
  const TensorSpec& spec;
  tensor::Converter convert;  // an input's border to the device, an output's device to the border
  IoMemory memory;
};

class ZeroCopyFlow final : public Flow {
 public:
  ZeroCopyFlow(rknn_context context, const Calls& calls) : context_(context), calls_(calls) {
    for (const TensorSpec& spec : calls_.interface.inputs) bind(inputs_, spec, true);
    for (const TensorSpec& spec : calls_.interface.outputs) bind(outputs_, spec, false);
  }

  // rknn_run flushes the caches of bound memory itself, unless rknn_init was told not to.
  void run(const void* const* inputs, void* const* outputs) override {
    for (size_t i = 0; i < inputs_.size(); ++i) inputs_[i].convert(inputs[i], inputs_[i].memory.address());
    compute(outputs);
  }

  void run_inputs(const rknn_input* inputs, void* const* outputs) override {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const auto& [spec, convert, memory] = inputs_[i];
      const tensor::Converter special(input_side(spec, memory.attr(), inputs[i]), device_side(spec, memory.attr()));
      special(inputs[i].buf, memory.address());
    }
    compute(outputs);
  }

 private:
  void compute(void* const* outputs) {
    calls_.check("rknn_run", calls_.library.run(context_, nullptr));
    for (size_t i = 0; i < outputs_.size(); ++i) outputs_[i].convert(outputs_[i].memory.address(), outputs[i]);
  }

  void bind(std::vector<Port>& ports, const TensorSpec& spec, bool is_input) {
    const rknn_query_cmd query = is_input ? RKNN_QUERY_NATIVE_INPUT_ATTR : RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR;
    const rknn_tensor_attr attr = query_attr(context_, calls_, query, ports.size());
    const tensor::Side border = border_side(spec), device = device_side(spec, attr);
    const auto bytes = static_cast<uint32_t>(std::max<uint64_t>(tensor::bytes(device), attr.size_with_stride));
    ports.push_back({spec, tensor::Converter(is_input ? border : device, is_input ? device : border),
                     IoMemory(context_, calls_, attr, bytes)});
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
