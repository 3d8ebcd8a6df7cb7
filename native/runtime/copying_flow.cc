// The copying flow: the runtime takes tensors as ONNX Runtime holds them, and converts them itself.
#include <vector>

#include "runtime/flow.h"

namespace rknn_ep {
namespace {

class CopyingFlow final : public Flow {
 public:
  // The argument arrays of the calls are filled once, so that running allocates nothing.
  CopyingFlow(rknn_context context, const Calls& calls) : context_(context), calls_(calls) {
    for (const TensorSpec& spec : calls_.interface.inputs) {
      rknn_input input{};
      input.index = static_cast<uint32_t>(inputs_.size());
      input.size = spec.bytes;
      input.pass_through = 0;
      input.type = spec.rknn_type;
      input.fmt = spec.picture ? RKNN_TENSOR_NHWC : spec.dims.size() == 4 ? RKNN_TENSOR_NCHW : RKNN_TENSOR_UNDEFINED;
      inputs_.push_back(input);
    }
    for (const TensorSpec& spec : calls_.interface.outputs) {
      rknn_output output{};
      output.want_float = spec.rknn_type == RKNN_TENSOR_FLOAT32 ? 1 : 0;
      output.is_prealloc = 1;
      output.index = static_cast<uint32_t>(outputs_.size());
      output.size = spec.bytes;
      outputs_.push_back(output);
    }
  }

  void run(const void* const* inputs, void* const* outputs) override {
    for (size_t index = 0; index < inputs_.size(); ++index) {
      inputs_[index].buf = const_cast<void*>(inputs[index]);  // rknn_api only reads it
    }
    compute(inputs_.data(), outputs);
  }

  void run_inputs(const rknn_input* inputs, void* const* outputs) override {
    compute(const_cast<rknn_input*>(inputs), outputs);
  }

 private:
  void compute(rknn_input* inputs, void* const* outputs) {
    const RknnLibrary& library = calls_.library;
    for (size_t index = 0; index < outputs_.size(); ++index) outputs_[index].buf = outputs[index];
    const auto n_inputs = static_cast<uint32_t>(inputs_.size());
    const auto n_outputs = static_cast<uint32_t>(outputs_.size());
    calls_.check("rknn_inputs_set", library.inputs_set(context_, n_inputs, inputs));
    calls_.check("rknn_run", library.run(context_, nullptr));
    calls_.check("rknn_outputs_get", library.outputs_get(context_, n_outputs, outputs_.data(), nullptr));
    if (library.outputs_release != nullptr) {
      calls_.check("rknn_outputs_release", library.outputs_release(context_, n_outputs, outputs_.data()));
    }
  }

  const rknn_context context_;
  const Calls calls_;
  std::vector<rknn_input> inputs_;
  std::vector<rknn_output> outputs_;
};

}  // namespace

std::unique_ptr<Flow> open_copying_flow(rknn_context context, const Calls& calls) {
  return std::make_unique<CopyingFlow>(context, calls);
}

}  // namespace rknn_ep
