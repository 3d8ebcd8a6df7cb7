#include "simulator/custom_nodes.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "simulator/protobuf_reader.h"

namespace rknn_ep::simulator {
namespace {

using protobuf::Field;
using protobuf::invalid;
using protobuf::Message;

// Field numbers of onnx.proto.
constexpr uint32_t kModelGraph = 7;
constexpr uint32_t kGraphNode = 1, kGraphInitializer = 5, kGraphInput = 11, kGraphOutput = 12, kGraphValueInfo = 13;
constexpr uint32_t kNodeInput = 1, kNodeOutput = 2, kNodeType = 4, kNodeAttribute = 5, kNodeDomain = 7;
constexpr uint32_t kTensorDims = 1, kTensorType = 2, kTensorName = 8;
constexpr uint32_t kValueName = 1, kValueType = 2, kTypeTensor = 1, kElementType = 1, kShape = 2;
constexpr uint32_t kShapeDim = 1, kDimValue = 1;
constexpr uint32_t kAttributeName = 1, kAttributeFloat = 2, kAttributeInt = 3, kAttributeString = 4,
                   kAttributeFloats = 7, kAttributeInts = 8;

using Values = std::map<std::string, CustomTensor>;

bool standard(const std::string& domain) {
  static constexpr const char* kDomains[] = {"",
                                             "ai.onnx",
                                             "ai.onnx.ml",
                                             "ai.onnx.training",
                                             "com.microsoft",
                                             "com.microsoft.nchwc",
                                             "com.ms.internal.nhwc",
                                             "rknn_ep"};
  return std::any_of(std::begin(kDomains), std::end(kDomains), [&](const char* known) { return domain == known; });
}

void read_shape(Bytes bytes, CustomTensor& tensor) {
  Message shape(bytes);
  for (Field dim; shape.next(dim);) {
    if (dim.number != kShapeDim) continue;
    int64_t value = -1;
    Message entry(dim.bytes);
    for (Field field; entry.next(field);) {
      if (field.number == kDimValue && field.wire == 0) value = static_cast<int64_t>(field.value);
    }
    tensor.dims.push_back(value);
  }
}

CustomTensor value_info(Bytes bytes) {
  CustomTensor tensor;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == kValueName) tensor.name = std::string(field.bytes.text());
    if (field.number != kValueType) continue;
    Message type(field.bytes);
    for (Field kind; type.next(kind);) {
      if (kind.number != kTypeTensor) continue;
      Message inner(kind.bytes);
      for (Field item; inner.next(item);) {
        if (item.number == kElementType && item.wire == 0) tensor.element_type = static_cast<int32_t>(item.value);
        if (item.number == kShape) read_shape(item.bytes, tensor);
      }
    }
  }
  return tensor;
}

CustomTensor initializer(Bytes bytes) {
  CustomTensor tensor;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == kTensorDims && field.wire == 0) tensor.dims.push_back(static_cast<int64_t>(field.value));
    if (field.number == kTensorDims && field.wire == 2) {
      Message packed(field.bytes);
      while (!packed.done()) tensor.dims.push_back(static_cast<int64_t>(packed.varint()));
    }
    if (field.number == kTensorType && field.wire == 0) tensor.element_type = static_cast<int32_t>(field.value);
    if (field.number == kTensorName) tensor.name = std::string(field.bytes.text());
  }
  return tensor;
}

void append(CustomAttribute& attribute, rknn_tensor_type type, const void* data, size_t bytes, uint32_t count) {
  const auto* from = static_cast<const uint8_t*>(data);
  attribute.type = type;
  attribute.data.insert(attribute.data.end(), from, from + bytes);
  attribute.count += count;
}

void append_integer(CustomAttribute& attribute, uint64_t value) {
  append(attribute, RKNN_TENSOR_INT64, &value, sizeof(value), 1);
}

CustomAttribute attribute(Bytes bytes) {
  CustomAttribute made;
  Message message(bytes);
  for (Field field; message.next(field);) {
    switch (field.number) {
      case kAttributeName:
        made.name = std::string(field.bytes.text());
        break;
      case kAttributeFloat:
      case kAttributeFloats:
        append(made, RKNN_TENSOR_FLOAT32, field.bytes.data, field.bytes.size / 4 * 4,
               static_cast<uint32_t>(field.bytes.size / 4));
        break;
      case kAttributeInt:
        append_integer(made, field.value);
        break;
      case kAttributeInts:
        if (field.wire == 0) {
          append_integer(made, field.value);
        } else {
          Message packed(field.bytes);
          while (!packed.done()) append_integer(made, packed.varint());
        }
        break;
      case kAttributeString:
        append(made, RKNN_TENSOR_UINT8, field.bytes.data, field.bytes.size, static_cast<uint32_t>(field.bytes.size));
        break;
      default:
        break;
    }
  }
  return made;
}

CustomTensor known(const Values& values, const std::string& name, const std::string& op_type) {
  const auto found = values.find(name);
  const bool whole = found != values.end() && found->second.element_type != 0 &&
                     std::all_of(found->second.dims.begin(), found->second.dims.end(), [](int64_t d) { return d > 0; });
  if (!whole || found->second.dims.size() > RKNN_MAX_DIMS) {
    invalid("'" + name + "' of the custom operator '" + op_type + "' has no static shape");
  }
  return found->second;
}

}  // namespace

std::vector<CustomNode> custom_nodes(Bytes model) {
  std::vector<CustomNode> found;
  Values values;
  std::vector<Bytes> nodes;
  Message message(model);
  for (Field field; message.next(field);) {
    if (field.number != kModelGraph || field.wire != 2) continue;
    Message graph(field.bytes);
    for (Field item; graph.next(item);) {
      if (item.wire != 2) continue;
      if (item.number == kGraphNode) nodes.push_back(item.bytes);
      if (item.number == kGraphInitializer || item.number == kGraphInput || item.number == kGraphOutput ||
          item.number == kGraphValueInfo) {
        CustomTensor tensor = item.number == kGraphInitializer ? initializer(item.bytes) : value_info(item.bytes);
        values[tensor.name] = std::move(tensor);
      }
    }
  }
  for (const Bytes bytes : nodes) {
    CustomNode node;
    std::vector<std::string> inputs, outputs;
    std::vector<Bytes> attributes;
    Message fields(bytes);
    for (Field field; fields.next(field);) {
      const std::string text(field.wire == 2 ? field.bytes.text() : std::string_view());
      if (field.number == kNodeInput) inputs.push_back(text);
      if (field.number == kNodeOutput) outputs.push_back(text);
      if (field.number == kNodeType) node.op_type = text;
      if (field.number == kNodeDomain) node.domain = text;
      if (field.number == kNodeAttribute) attributes.push_back(field.bytes);
    }
    if (standard(node.domain)) continue;
    for (const std::string& name : inputs) node.inputs.push_back(known(values, name, node.op_type));
    for (const std::string& name : outputs) node.outputs.push_back(known(values, name, node.op_type));
    for (const Bytes one : attributes) node.attributes.push_back(attribute(one));
    found.push_back(std::move(node));
  }
  return found;
}

}  // namespace rknn_ep::simulator
