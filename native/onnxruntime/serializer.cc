#include "onnxruntime/serializer.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <unordered_set>

#include "onnxruntime/protobuf.h"
#include "onnxruntime/status.h"

namespace rknn_ep {
namespace {

// Field numbers of onnx.proto.
namespace field {
constexpr int kModelIrVersion = 1, kModelProducerName = 2, kModelProducerVersion = 3, kModelGraph = 7;
constexpr int kModelOpset = 8, kModelMetadata = 14;
constexpr int kOpsetDomain = 1, kOpsetVersion = 2;
constexpr int kEntryKey = 1, kEntryValue = 2;
constexpr int kGraphNode = 1, kGraphName = 2, kGraphInitializer = 5, kGraphInput = 11, kGraphOutput = 12;
constexpr int kGraphValueInfo = 13;
constexpr int kNodeInput = 1, kNodeOutput = 2, kNodeName = 3, kNodeOpType = 4, kNodeAttribute = 5, kNodeDomain = 7;
constexpr int kAttributeName = 1, kAttributeF = 2, kAttributeI = 3, kAttributeS = 4, kAttributeT = 5, kAttributeG = 6;
constexpr int kAttributeFloats = 7, kAttributeInts = 8, kAttributeStrings = 9, kAttributeType = 20;
constexpr int kTensorDims = 1, kTensorDataType = 2, kTensorStringData = 6, kTensorName = 8, kTensorRawData = 9;
constexpr int kValueName = 1, kValueType = 2;
constexpr int kTypeTensor = 1, kTypeSequence = 4, kTypeOptional = 9;
constexpr int kTensorTypeElement = 1, kTensorTypeShape = 2, kShapeDim = 1, kDimValue = 1, kDimParam = 2;
}  // namespace field

// AttributeProto.AttributeType.
constexpr int kFloat = 1, kInt = 2, kString = 3, kTensor = 4, kGraph = 5, kFloats = 6, kInts = 7, kStrings = 8;

constexpr size_t kLargestModel = std::numeric_limits<int32_t>::max();

// ONNX Runtime and ONNX number the element types alike, up to the last three.
int64_t onnx_type(ort::ONNXTensorElementDataType type) {
  constexpr int64_t kFloat8E8M0 = 24, kUint2 = 25, kInt2 = 26;
  switch (static_cast<int>(type)) {
    case 24:
      return kUint2;
    case 25:
      return kInt2;
    case 26:
      return kFloat8E8M0;
    default:
      return type;
  }
}

template <typename Number, typename Write>
void for_each_number(const std::string& bytes, Write&& write) {
  for (size_t offset = 0; offset + sizeof(Number) <= bytes.size(); offset += sizeof(Number)) {
    Number number;
    std::memcpy(&number, bytes.data() + offset, sizeof number);
    write(number);
  }
}

class Serializer {
 public:
  explicit Serializer(const GraphReader& reader) : reader_(reader), api_(reader.api()) {}

  std::string model(const ort::OrtGraph& graph) {
    Message model;
    model.integer(field::kModelIrVersion, reader_.ir_version(graph));
    model.bytes(field::kModelProducerName, "rknn_ep");
    model.bytes(field::kModelProducerVersion, RKNN_EP_VERSION);
    Message body = this->graph(graph);
    // ONNX Runtime lists every domain that anything in the process has brought in, in no order: a model would have
    // other bytes, and so be another one to the cache, once some session has operators of its own.
    auto opsets = reader_.opsets(graph);
    std::sort(opsets.begin(), opsets.end());
    for (const auto& [domain, version] : opsets) {
      if (domain.empty() || domains_.count(domain)) opset(model, domain, version);
    }
    if (unreadable_) opset(model, kUnreadableDomain, 1);
    for (const auto& [key, value] : reader_.metadata(graph)) {
      Message entry;
      entry.bytes(field::kEntryKey, key);
      entry.bytes(field::kEntryValue, value);
      model.message(field::kModelMetadata, std::move(entry));
    }
    model.message(field::kModelGraph, std::move(body));
    if (model.size() > kLargestModel) {
      throw Failure("the model is larger than 2 GiB (" + std::to_string(model.size() >> 20) +
                    " MiB with its weights), which ONNX cannot hold in one piece and rknn_ep does not take\n"
                    "  Split the model, or run it without RKNNExecutionProvider.");
    }
    return model.join();
  }

 private:
  static void opset(Message& model, const std::string& domain, int64_t version) {
    Message opset;
    opset.bytes(field::kOpsetDomain, domain);
    opset.integer(field::kOpsetVersion, version);
    model.message(field::kModelOpset, std::move(opset));
  }

  Message graph(const ort::OrtGraph& graph) {
    Message message;
    std::unordered_set<std::string> typed;  // inputs, outputs and initializers say their types themselves
    message.bytes(field::kGraphName, reader_.name(graph).empty() ? "graph" : reader_.name(graph));
    for (const ort::OrtValueInfo* value : reader_.initializers(graph)) {
      typed.insert(reader_.name(value));
      const ort::OrtValue* tensor = nullptr;
      check(api_, api_.ValueInfo_GetInitializerValue(value, &tensor));
      if (tensor == nullptr)
        throw Failure("ONNX Runtime gives no value for the initializer '" + reader_.name(value) + "'");
      message.message(field::kGraphInitializer, this->tensor(*tensor, reader_.name(value), nullptr));
    }
    for (const ort::OrtValueInfo* value : reader_.inputs(graph)) {
      typed.insert(reader_.name(value));
      message.message(field::kGraphInput, value_info(*value, true));
    }
    for (const ort::OrtValueInfo* value : reader_.outputs(graph)) {
      typed.insert(reader_.name(value));
      message.message(field::kGraphOutput, value_info(*value, false));
    }
    for (const ort::OrtNode* node : reader_.nodes(graph)) {
      message.message(field::kGraphNode, this->node(*node));
      for (const ort::OrtValueInfo* value : reader_.outputs(*node)) {
        if (value == nullptr || reader_.name(value).empty() || !typed.insert(reader_.name(value)).second) continue;
        message.message(field::kGraphValueInfo, value_info(*value, false));
      }
    }
    return message;
  }

  Message node(const ort::OrtNode& node) {
    Message message;
    for (const ort::OrtValueInfo* value : reader_.inputs(node)) message.bytes(field::kNodeInput, reader_.name(value));
    for (const ort::OrtValueInfo* value : reader_.outputs(node)) message.bytes(field::kNodeOutput, reader_.name(value));
    message.bytes(field::kNodeName, reader_.name(node));
    message.bytes(field::kNodeOpType, reader_.op_type(node));
    bool readable = true;
    for (const ort::OrtOpAttr* attribute : reader_.attributes(node)) {
      const ort::OrtOpAttrType type = reader_.type(*attribute);
      if (type == ort::ORT_OP_ATTR_GRAPH) continue;  // below
      if (type == ort::ORT_OP_ATTR_UNDEFINED) {
        readable = false;
        continue;
      }
      message.message(field::kNodeAttribute, this->attribute(*attribute, type));
    }
    for (const auto& [name, body] : reader_.subgraphs(node)) {
      Message attribute;
      attribute.bytes(field::kAttributeName, name);
      attribute.integer(field::kAttributeType, kGraph);
      attribute.message(field::kAttributeG, graph(*body));
      message.message(field::kNodeAttribute, std::move(attribute));
    }
    unreadable_ = unreadable_ || !readable;
    const std::string domain = readable ? reader_.domain(node) : kUnreadableDomain;
    domains_.insert(domain);
    message.bytes(field::kNodeDomain, domain);
    return message;
  }

  Message attribute(const ort::OrtOpAttr& attribute, ort::OrtOpAttrType type) {
    Message message;
    message.bytes(field::kAttributeName, reader_.name(attribute));
    if (type == ort::ORT_OP_ATTR_TENSOR) {
      ort::OrtValue* value = nullptr;
      check(api_, api_.OpAttr_GetTensorAttributeAsOrtValue(&attribute, &value));
      const std::shared_ptr<ort::OrtValue> owner(value, [&api = api_](auto* one) { api.ReleaseValue(one); });
      message.integer(field::kAttributeType, kTensor);
      message.message(field::kAttributeT, tensor(*value, {}, owner));
      return message;
    }
    const std::string value = reader_.value(attribute, type);
    switch (type) {
      case ort::ORT_OP_ATTR_FLOAT:
        message.integer(field::kAttributeType, kFloat);
        for_each_number<float>(value, [&](float one) { message.float32(field::kAttributeF, one); });
        break;
      case ort::ORT_OP_ATTR_FLOATS:
        message.integer(field::kAttributeType, kFloats);
        for_each_number<float>(value, [&](float one) { message.float32(field::kAttributeFloats, one); });
        break;
      case ort::ORT_OP_ATTR_INT:
        message.integer(field::kAttributeType, kInt);
        for_each_number<int64_t>(value, [&](int64_t one) { message.integer(field::kAttributeI, one); });
        break;
      case ort::ORT_OP_ATTR_INTS:
        message.integer(field::kAttributeType, kInts);
        for_each_number<int64_t>(value, [&](int64_t one) { message.integer(field::kAttributeInts, one); });
        break;
      case ort::ORT_OP_ATTR_STRING:
        message.integer(field::kAttributeType, kString);
        message.bytes(field::kAttributeS, value);
        break;
      default:  // STRINGS: each ends with a zero byte
        message.integer(field::kAttributeType, kStrings);
        for (size_t begin = 0; begin < value.size();) {
          const size_t end = std::min(value.find('\0', begin), value.size());
          message.bytes(field::kAttributeStrings, std::string_view(value).substr(begin, end - begin));
          begin = end + 1;
        }
        break;
    }
    return message;
  }

  // `owner` keeps the value alive until the model is joined; null where the graph does.
  Message tensor(const ort::OrtValue& value, const std::string& name, std::shared_ptr<const void> owner) {
    ort::OrtTensorTypeAndShapeInfo* info = nullptr;
    check(api_, api_.GetTensorTypeAndShape(&value, &info));
    const std::shared_ptr<ort::OrtTensorTypeAndShapeInfo> info_owner(
        info, [this](auto* one) { api_.ReleaseTensorTypeAndShapeInfo(one); });
    Message message;
    uint64_t elements = 1;
    for (const int64_t dim : dimensions(*info)) {
      message.integer(field::kTensorDims, dim);
      elements *= static_cast<uint64_t>(dim);
    }
    const ort::ONNXTensorElementDataType type = element_type(*info);
    message.integer(field::kTensorDataType, onnx_type(type));
    if (!name.empty()) message.bytes(field::kTensorName, name);
    if (type == ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
      for (const std::string& text : strings(value, elements)) message.bytes(field::kTensorStringData, text);
      return message;
    }
    size_t size = 0;
    const void* data = nullptr;
    check(api_, api_.GetTensorSizeInBytes(&value, &size));
    check(api_, api_.GetTensorData(&value, &data));
    if (size < 64) {
      message.bytes(field::kTensorRawData, {static_cast<const char*>(data), size});
    } else {
      message.external(field::kTensorRawData, data, size, std::move(owner));
    }
    return message;
  }

  std::vector<std::string> strings(const ort::OrtValue& value, size_t count) {
    size_t size = 0;
    check(api_, api_.GetStringTensorDataLength(&value, &size));
    std::string bytes(size, '\0');
    std::vector<size_t> offsets(count);
    if (count != 0) {
      check(api_, api_.GetStringTensorContent(&value, static_cast<void*>(bytes.data()), size, offsets.data(), count));
    }
    std::vector<std::string> found;
    for (size_t index = 0; index < count; ++index) {
      const size_t end = index + 1 < count ? offsets[index + 1] : size;
      found.push_back(bytes.substr(offsets[index], end - offsets[index]));
    }
    return found;
  }

  // Before 1.24 a scalar and a tensor of unknown rank look the same. Inputs are scalars then (If's condition, a
  // sampling rate), since nothing else says their shape; of other values nothing is said, for shapes can be inferred.
  Message value_info(const ort::OrtValueInfo& value, bool is_input) {
    scalars_have_shape_ = is_input;
    Message message;
    message.bytes(field::kValueName, reader_.name(&value));
    const ort::OrtTypeInfo* type = nullptr;
    check(api_, api_.GetValueInfoTypeInfo(&value, &type));
    if (type != nullptr) message.message(field::kValueType, this->type(*type));
    return message;
  }

  Message type(const ort::OrtTypeInfo& info) {
    ort::ONNXType kind = ort::ONNX_TYPE_UNKNOWN;
    check(api_, api_.GetOnnxTypeFromTypeInfo(&info, &kind));
    Message message;
    if (kind == ort::ONNX_TYPE_TENSOR) {
      message.message(field::kTypeTensor, tensor_type(info));
    } else if (kind == ort::ONNX_TYPE_SEQUENCE) {
      const ort::OrtSequenceTypeInfo* sequence = nullptr;
      ort::OrtTypeInfo* element = nullptr;
      check(api_, api_.CastTypeInfoToSequenceTypeInfo(&info, &sequence));
      check(api_, api_.GetSequenceElementType(sequence, &element));
      message.message(field::kTypeSequence, element_of(element));
    } else if (kind == ort::ONNX_TYPE_OPTIONAL) {
      const ort::OrtOptionalTypeInfo* optional = nullptr;
      ort::OrtTypeInfo* element = nullptr;
      check(api_, api_.CastTypeInfoToOptionalTypeInfo(&info, &optional));
      check(api_, api_.GetOptionalContainedTypeInfo(optional, &element));
      message.message(field::kTypeOptional, element_of(element));
    }
    return message;  // maps and opaque types keep an empty type: no NPU takes them
  }

  Message element_of(ort::OrtTypeInfo* element) {
    const std::shared_ptr<ort::OrtTypeInfo> owner(element, [this](auto* one) { api_.ReleaseTypeInfo(one); });
    Message message;
    message.message(1, type(*element));
    return message;
  }

  Message tensor_type(const ort::OrtTypeInfo& info) {
    const ort::OrtTensorTypeAndShapeInfo* tensor = nullptr;
    check(api_, api_.CastTypeInfoToTensorInfo(&info, &tensor));
    Message message;
    message.integer(field::kTensorTypeElement, onnx_type(element_type(*tensor)));
    const std::vector<int64_t> dims = dimensions(*tensor);
    const bool has_shape =
        reader_.minor_version() >= 24 ? api_.TensorTypeAndShape_HasShape(tensor) : !dims.empty() || scalars_have_shape_;
    if (!has_shape) return message;
    std::vector<const char*> names(dims.size());
    if (!dims.empty()) check(api_, api_.GetSymbolicDimensions(tensor, names.data(), names.size()));
    Message shape;
    for (size_t index = 0; index < dims.size(); ++index) {
      Message dim;
      if (dims[index] >= 0) {
        dim.integer(field::kDimValue, dims[index]);
      } else if (names[index] != nullptr && *names[index] != '\0') {
        dim.bytes(field::kDimParam, names[index]);
      }
      shape.message(field::kShapeDim, std::move(dim));
    }
    message.message(field::kTensorTypeShape, std::move(shape));
    return message;
  }

  std::vector<int64_t> dimensions(const ort::OrtTensorTypeAndShapeInfo& info) {
    return read_list<int64_t>(
        api_, [&](size_t* count) { return api_.GetDimensionsCount(&info, count); },
        [&](int64_t* items, size_t count) { return api_.GetDimensions(&info, items, count); });
  }

  ort::ONNXTensorElementDataType element_type(const ort::OrtTensorTypeAndShapeInfo& info) {
    ort::ONNXTensorElementDataType type = ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    check(api_, api_.GetTensorElementType(&info, &type));
    return type;
  }

  const GraphReader& reader_;
  const ort::OrtApi& api_;
  bool unreadable_ = false;
  std::unordered_set<std::string> domains_;  // of the nodes
  bool scalars_have_shape_ = false;
};

}  // namespace

std::string serialize_graph(const GraphReader& reader, const ort::OrtGraph& graph) {
  return Serializer(reader).model(graph);
}

}  // namespace rknn_ep
