#include "onnxruntime/partition_kernel.h"

#include <algorithm>

#include "onnxruntime/status.h"

namespace rknn_ep {

PartitionKernel::PartitionKernel(const GraphReader& reader, Interface interface, std::shared_ptr<Executor> executor,
                                 Open open)
    : ort::OrtNodeComputeInfo{},
      reader_(reader),
      interface_(std::move(interface)),
      open_(std::move(open)),
      owner_(std::move(executor)),
      executor_(owner_.get()) {
  ort_version_supported = ort::kApiVersion;
  CreateState = &create_state;
  Compute = &compute;
  ReleaseState = &release_state;
}

PartitionKernel::Positions PartitionKernel::positions(const std::vector<const ort::OrtValueInfo*>& values) const {
  Positions found;
  for (size_t index = 0; index < values.size(); ++index) found.emplace(reader_.name(values[index]), index);
  return found;
}

void PartitionKernel::bind_by_name(const ort::OrtNode& fused_node) {
  const Positions inputs = positions(reader_.inputs(fused_node));
  Positions outputs = positions(reader_.outputs(fused_node));
  for (const TensorSpec& spec : interface_.inputs) {
    const auto found = inputs.find(spec.name);
    if (found == inputs.end()) {
      throw Failure("partition " + interface_.partition + " needs an input '" + spec.name +
                    "' that ONNX Runtime's node lacks");
    }
    input_positions_.push_back(found->second);
  }
  for (const TensorSpec& spec : interface_.outputs) {
    const auto found = outputs.find(spec.name);
    output_positions_.push_back(found == outputs.end() ? kUnwanted : found->second);
    if (found != outputs.end()) outputs.erase(found);
  }
  if (!outputs.empty()) {
    throw Failure("partition " + interface_.partition + " does not compute '" + outputs.begin()->first +
                  "', which is needed outside of it");
  }
}

void PartitionKernel::bind_by_position(const ort::OrtNode& fused_node, const ort::OrtNode& context_node) {
  const auto inputs = reader_.inputs(context_node);
  const auto outputs = reader_.outputs(context_node);
  if (inputs.size() != interface_.inputs.size() || outputs.size() != interface_.outputs.size()) {
    throw Failure("the EPContext node of partition " + interface_.partition + " has " + std::to_string(inputs.size()) +
                  " inputs and " + std::to_string(outputs.size()) + " outputs, its bundle " +
                  std::to_string(interface_.inputs.size()) + " and " + std::to_string(interface_.outputs.size()) +
                  ": the model and the bundle do not belong together");
  }
  const Positions fused_inputs = positions(reader_.inputs(fused_node));
  const Positions fused_outputs = positions(reader_.outputs(fused_node));
  for (const ort::OrtValueInfo* value : inputs) {
    const auto found = fused_inputs.find(reader_.name(value));
    if (found == fused_inputs.end()) {
      throw Failure("the EPContext node of partition " + interface_.partition + " leaves an input out");
    }
    input_positions_.push_back(found->second);
  }
  for (const ort::OrtValueInfo* value : outputs) {
    const auto found = fused_outputs.find(reader_.name(value));
    output_positions_.push_back(found == fused_outputs.end() ? kUnwanted : found->second);
  }
}

ort::OrtStatus* PartitionKernel::create_state(ort::OrtNodeComputeInfo* self, ort::OrtNodeComputeContext*,
                                              void** state) noexcept {
  *state = self;
  return nullptr;
}

void PartitionKernel::release_state(ort::OrtNodeComputeInfo*, void*) noexcept {}

ort::OrtStatus* PartitionKernel::compute(ort::OrtNodeComputeInfo* self, void*,
                                         ort::OrtKernelContext* context) noexcept {
  auto& kernel = *static_cast<PartitionKernel*>(self);
  return as_status(kernel.reader_.api(), ort::ORT_FAIL, [&] { kernel.run(*context); });
}

void PartitionKernel::run(ort::OrtKernelContext& context) {
  const ort::OrtApi& api = reader_.api();
  std::vector<const void*> inputs(input_positions_.size());
  std::vector<void*> outputs(output_positions_.size());
  for (size_t index = 0; index < inputs.size(); ++index) {
    inputs[index] = input(context, interface_.inputs[index], input_positions_[index]);
  }
  std::vector<std::unique_ptr<char[]>> unwanted;
  for (size_t index = 0; index < outputs.size(); ++index) {
    const TensorSpec& spec = interface_.outputs[index];
    if (output_positions_[index] == kUnwanted) {
      unwanted.push_back(std::make_unique<char[]>(spec.bytes));
      outputs[index] = unwanted.back().get();
      continue;
    }
    ort::OrtValue* value = nullptr;
    check(api,
          api.KernelContext_GetOutput(&context, output_positions_[index], spec.dims.data(), spec.dims.size(), &value));
    check(api, api.GetTensorMutableData(value, &outputs[index]));
  }
  executor().run(inputs.data(), outputs.data());
}

const void* PartitionKernel::input(ort::OrtKernelContext& context, const TensorSpec& spec, size_t position) const {
  const ort::OrtApi& api = reader_.api();
  const ort::OrtValue* value = nullptr;
  check(api, api.KernelContext_GetInput(&context, position, &value));
  if (value == nullptr)
    throw Failure("input '" + spec.name + "' of partition " + interface_.partition + " was not given");
  ort::ONNXTensorElementDataType type = ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  const auto compare = [&](const int64_t* dims, size_t count) {
    if (static_cast<int32_t>(type) != spec.onnx_type) {
      throw Failure("input '" + spec.name + "' of partition " + interface_.partition + " is " + type_name(type) +
                    " at run time, but the partition was compiled for " + spec.type_name);
    }
    if (count != spec.dims.size() || !std::equal(dims, dims + count, spec.dims.begin()))
      refuse_shape(spec, dims, count);
  };
  if (reader_.minor_version() >= 24) {  // without allocating
    const int64_t* dims = nullptr;
    size_t count = 0;
    check(api, api.GetTensorElementTypeAndShapeDataReference(value, &type, &dims, &count));
    compare(dims, count);
  } else {
    ort::OrtTensorTypeAndShapeInfo* info = nullptr;
    check(api, api.GetTensorTypeAndShape(value, &info));
    const std::shared_ptr<ort::OrtTensorTypeAndShapeInfo> owner(
        info, [&api](auto* one) { api.ReleaseTensorTypeAndShapeInfo(one); });
    check(api, api.GetTensorElementType(info, &type));
    const auto dims = read_list<int64_t>(
        api, [&](size_t* count) { return api.GetDimensionsCount(info, count); },
        [&](int64_t* items, size_t count) { return api.GetDimensions(info, items, count); });
    compare(dims.data(), dims.size());
  }
  const void* data = nullptr;
  check(api, api.GetTensorData(value, &data));
  return data;
}

Executor& PartitionKernel::executor() {
  Executor* opened = executor_.load(std::memory_order_acquire);
  if (opened != nullptr) return *opened;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (owner_ == nullptr) {
    owner_ = open_();
    executor_.store(owner_.get(), std::memory_order_release);
  }
  return *owner_;
}

void PartitionKernel::refuse_shape(const TensorSpec& spec, const int64_t* dims, size_t count) const {
  throw Failure("input '" + spec.name + "' of partition " + interface_.partition + " has the shape " +
                shape_text(dims, count) + " at run time, but was compiled for " +
                shape_text(spec.dims.data(), spec.dims.size()) +
                "\n  Feed the compiled shape, or compile for the other one with the option input_shapes.");
}

}  // namespace rknn_ep
