#include "simulator/custom_ops.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>

#include "simulator/failure.h"
#include "simulator/guard.h"
#include "simulator/tensor.h"

namespace rknn_ep::simulator {
namespace {

std::string text_of(const char* text, size_t room) { return std::string(text, strnlen(text, room)); }

rknn_tensor_type rknn_type(int32_t element_type) {
  for (int type = RKNN_TENSOR_FLOAT32; type <= RKNN_TENSOR_BOOL; ++type) {
    const auto candidate = static_cast<rknn_tensor_type>(type);
    if (ort_type(candidate) == element_type) return candidate;
  }
  throw Failure(RKNN_ERR_MODEL_INVALID,
                "a custom operator's tensor has ONNX element type " + std::to_string(element_type));
}

rknn_custom_op_tensor tensor_of(const CustomTensor& tensor, uint32_t index) {
  rknn_custom_op_tensor made{};
  rknn_tensor_attr& attr = made.attr;
  attr.index = index;
  attr.n_dims = static_cast<uint32_t>(tensor.dims.size());
  attr.n_elems = 1;
  for (size_t i = 0; i < tensor.dims.size(); ++i) {
    attr.dims[i] = static_cast<uint32_t>(tensor.dims[i]);
    attr.n_elems *= attr.dims[i];
  }
  std::strncpy(attr.name, tensor.name.c_str(), sizeof(attr.name) - 1);
  attr.type = rknn_type(tensor.element_type);
  attr.fmt = tensor.dims.size() == 4 ? RKNN_TENSOR_NCHW : RKNN_TENSOR_UNDEFINED;
  attr.qnt_type = RKNN_TENSOR_QNT_NONE;
  attr.scale = 1;
  attr.size = attr.size_with_stride = attr.n_elems * static_cast<uint32_t>(element_bytes(attr.type));
  made.mem.fd = -1;
  made.mem.size = attr.size;
  return made;
}

}  // namespace

// One registered operator as ONNX Runtime sees it.
struct CustomOps::Operator : ort::OrtCustomOp {
  const CustomOps* owner = nullptr;
  std::string domain;
  rknn_custom_op callbacks{};
  const CustomNode* first = nullptr;  // tells how many tensors of which types; all nodes of the operator agree
  std::vector<const CustomNode*> nodes;
  std::string name;
};

// One node. Contexts that share the model take turns.
struct CustomOps::Kernel {
  const Operator* op = nullptr;
  const CustomNode* node = nullptr;
  std::mutex mutex;
  rknn_custom_op_context context{};
  std::vector<rknn_custom_op_tensor> inputs, outputs;
  bool initialized = false;

  ~Kernel() {
    if (initialized && op->callbacks.destroy) op->callbacks.destroy(&context);
  }

  int call(int (*callback)(rknn_custom_op_context*, rknn_custom_op_tensor*, uint32_t, rknn_custom_op_tensor*,
                           uint32_t)) {
    return callback ? callback(&context, inputs.data(), static_cast<uint32_t>(inputs.size()), outputs.data(),
                               static_cast<uint32_t>(outputs.size()))
                    : 0;
  }

  ort::OrtStatus* failed(const char* callback, int code) const {
    const std::string reason = "custom operator '" + op->name + "': " + callback + " returned " + std::to_string(code);
    return op->owner->engine_->api().CreateStatus(ort::ORT_FAIL, reason.c_str());
  }

  static ort::OrtStatus* create(const ort::OrtCustomOp* table, const ort::OrtApi* api, const ort::OrtKernelInfo* info,
                                void** made) {
    const auto* op = static_cast<const Operator*>(table);
    char output[RKNN_MAX_NAME_LEN * 4] = {};
    size_t room = sizeof(output);
    if (ort::OrtStatus* status = api->KernelInfo_GetOutputName(info, size_t{0}, output, &room)) return status;
    const auto found = std::find_if(op->nodes.begin(), op->nodes.end(),
                                    [&](const CustomNode* node) { return node->outputs[0].name == output; });
    if (found == op->nodes.end()) return api->CreateStatus(ort::ORT_FAIL, "an unknown custom node");
    auto kernel = std::make_unique<Kernel>();
    kernel->op = op;
    kernel->node = *found;
    kernel->context.target = op->callbacks.target;
    kernel->context.internal_ctx =
        static_cast<rknn_custom_op_interal_context>(reinterpret_cast<uintptr_t>(kernel->node));
    for (const CustomTensor& tensor : kernel->node->inputs) {
      kernel->inputs.push_back(tensor_of(tensor, static_cast<uint32_t>(kernel->inputs.size())));
    }
    for (const CustomTensor& tensor : kernel->node->outputs) {
      kernel->outputs.push_back(tensor_of(tensor, static_cast<uint32_t>(kernel->outputs.size())));
    }
    if (const int code = kernel->call(op->callbacks.init); code < 0) return kernel->failed("init", code);
    kernel->initialized = true;
    *made = kernel.release();
    return nullptr;
  }

  ort::OrtStatus* compute(ort::OrtKernelContext* run) {
    const ort::OrtApi& api = op->owner->engine_->api();
    const std::lock_guard<std::mutex> lock(mutex);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const ort::OrtValue* value = nullptr;
      if (ort::OrtStatus* status = api.KernelContext_GetInput(run, i, &value)) return status;
      void* data = nullptr;
      if (ort::OrtStatus* status = api.GetTensorMutableData(const_cast<ort::OrtValue*>(value), &data)) return status;
      inputs[i].mem.virt_addr = data;
    }
    for (size_t i = 0; i < outputs.size(); ++i) {
      const std::vector<int64_t>& dims = node->outputs[i].dims;
      ort::OrtValue* value = nullptr;
      if (ort::OrtStatus* status = api.KernelContext_GetOutput(run, i, dims.data(), dims.size(), &value)) {
        return status;
      }
      if (ort::OrtStatus* status = api.GetTensorMutableData(value, &outputs[i].mem.virt_addr)) return status;
    }
    if (const int code = call(op->callbacks.prepare); code < 0) return failed("prepare", code);
    if (const int code = call(op->callbacks.compute); code < 0) return failed("compute", code);
    return nullptr;
  }
};

CustomOps::CustomOps(std::shared_ptr<Engine> engine, std::vector<CustomNode> nodes, const rknn_custom_op* ops,
                     uint32_t count)
    : engine_(std::move(engine)), nodes_(std::move(nodes)) {
  std::map<std::string, Operator*> by_type;
  for (const CustomNode& node : nodes_) {
    if (node.outputs.empty()) throw Failure(RKNN_ERR_MODEL_INVALID, "a custom operator without outputs");
    Operator*& op = by_type[node.domain + "/" + node.op_type];
    if (!op) {
      const rknn_custom_op* given = std::find_if(ops, ops + count, [&](const rknn_custom_op& one) {
        return text_of(one.op_type, sizeof(one.op_type)) == node.op_type;
      });
      if (given == ops + count) {
        throw Failure(RKNN_ERR_PARAM_INVALID,
                      "the model has the custom operator '" + node.op_type + "', which is not among those registered");
      }
      operators_.push_back(std::make_unique<Operator>());
      op = operators_.back().get();
      op->owner = this;
      op->domain = node.domain;
      op->name = node.op_type;
      op->callbacks = *given;
      op->first = &node;
    }
    const auto types = [](const std::vector<CustomTensor>& tensors) {
      std::vector<int32_t> list;
      for (const CustomTensor& tensor : tensors) list.push_back(tensor.element_type);
      return list;
    };
    if (types(op->first->inputs) != types(node.inputs) || types(op->first->outputs) != types(node.outputs)) {
      throw Failure(RKNN_ERR_MODEL_INVALID,
                    "nodes of the custom operator '" + node.op_type + "' differ in number or types of their tensors");
    }
    op->nodes.push_back(&node);
  }
  std::map<std::string, ort::OrtCustomOpDomain*> by_domain;
  for (const std::unique_ptr<Operator>& op : operators_) {
    op->version = ort::kCustomOpVersion;
    op->GetName = [](const ort::OrtCustomOp* table) { return static_cast<const Operator*>(table)->name.c_str(); };
    op->GetExecutionProviderType = [](const ort::OrtCustomOp*) -> const char* { return nullptr; };
    op->GetInputTypeCount = [](const ort::OrtCustomOp* table) {
      return static_cast<const Operator*>(table)->first->inputs.size();
    };
    op->GetOutputTypeCount = [](const ort::OrtCustomOp* table) {
      return static_cast<const Operator*>(table)->first->outputs.size();
    };
    op->GetInputType = [](const ort::OrtCustomOp* table, size_t i) {
      const auto* self = static_cast<const Operator*>(table);
      return static_cast<ort::ONNXTensorElementDataType>(self->first->inputs[i].element_type);
    };
    op->GetOutputType = [](const ort::OrtCustomOp* table, size_t i) {
      const auto* self = static_cast<const Operator*>(table);
      return static_cast<ort::ONNXTensorElementDataType>(self->first->outputs[i].element_type);
    };
    op->GetInputCharacteristic = [](const ort::OrtCustomOp*, size_t) -> int32_t { return 0; };
    op->GetOutputCharacteristic = [](const ort::OrtCustomOp*, size_t) -> int32_t { return 0; };
    op->GetInputMemoryType = [](const ort::OrtCustomOp*, size_t) { return ort::OrtMemTypeDefault; };
    op->CreateKernelV2 = &Kernel::create;
    op->KernelComputeV2 = [](void* kernel, ort::OrtKernelContext* run) {
      return static_cast<Kernel*>(kernel)->compute(run);
    };
    op->KernelDestroy = [](void* kernel) { delete static_cast<Kernel*>(kernel); };
    ort::OrtCustomOpDomain*& domain = by_domain[op->domain];
    const ort::OrtApi& api = engine_->api();
    if (!domain) {
      engine_->check(api.CreateCustomOpDomain(op->domain.c_str(), &domain), RKNN_ERR_FAIL, "no operator domain");
      domains_.push_back(domain);
    }
    engine_->check(api.CustomOpDomain_Add(domain, static_cast<const ort::OrtCustomOp*>(op.get())), RKNN_ERR_FAIL,
                   "no custom operator");
  }
}

CustomOps::~CustomOps() {
  for (ort::OrtCustomOpDomain* domain : domains_) engine_->api().ReleaseCustomOpDomain(domain);
}

void CustomOps::attribute(const rknn_custom_op_context* context, const char* name, rknn_custom_op_attr* attribute) {
  if (!attribute) throw Failure(RKNN_ERR_PARAM_INVALID, "op_attr is null");
  *attribute = {};
  if (!context || !context->internal_ctx || !name) throw Failure(RKNN_ERR_PARAM_INVALID, "op_ctx or attr_name is null");
  const auto* node = reinterpret_cast<const CustomNode*>(static_cast<uintptr_t>(context->internal_ctx));
  std::strncpy(attribute->name, name, sizeof(attribute->name) - 1);
  for (const CustomAttribute& known : node->attributes) {
    if (known.name != name) continue;
    attribute->dtype = known.type;
    attribute->n_elems = known.count;
    attribute->data = const_cast<uint8_t*>(known.data.data());
    return;
  }
}

}  // namespace rknn_ep::simulator
