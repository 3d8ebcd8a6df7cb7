#include "onnxruntime/graph_reader.h"

#include <algorithm>
#include <memory>
#include <unordered_set>

#include "onnxruntime/status.h"

namespace rknn_ep {
namespace {

std::string text(const char* value) { return value == nullptr ? std::string() : std::string(value); }

}  // namespace

bool GraphReader::is_subgraph(const ort::OrtGraph& graph) const {
  const ort::OrtNode* parent = nullptr;
  check(api_, api_.Graph_GetParentNode(&graph, &parent));
  if (parent != nullptr || minor_version_ > 23) return parent != nullptr;
  // 1.23 does not tell a body's parent: what a body borrows from outside gives it away.
  std::unordered_set<std::string> own{""};
  for (const auto* value : inputs(graph)) own.insert(name(value));
  for (const auto* value : initializers(graph)) own.insert(name(value));
  const auto all = nodes(graph);
  for (const ort::OrtNode* node : all) {
    for (const auto* value : outputs(*node)) own.insert(name(value));
  }
  return std::any_of(all.begin(), all.end(), [&](const ort::OrtNode* node) {
    const auto used = inputs(*node);
    return std::any_of(used.begin(), used.end(), [&](const auto* value) { return own.count(name(value)) == 0; });
  });
}

std::vector<const ort::OrtNode*> GraphReader::nodes(const ort::OrtGraph& graph) const {
  return read_list<const ort::OrtNode*>(
      api_, [&](size_t* count) { return api_.Graph_GetNumNodes(&graph, count); },
      [&](const ort::OrtNode** items, size_t count) { return api_.Graph_GetNodes(&graph, items, count); });
}

std::vector<const ort::OrtValueInfo*> GraphReader::inputs(const ort::OrtGraph& graph) const {
  return read_list<const ort::OrtValueInfo*>(
      api_, [&](size_t* count) { return api_.Graph_GetNumInputs(&graph, count); },
      [&](const ort::OrtValueInfo** items, size_t count) { return api_.Graph_GetInputs(&graph, items, count); });
}

std::vector<const ort::OrtValueInfo*> GraphReader::outputs(const ort::OrtGraph& graph) const {
  return read_list<const ort::OrtValueInfo*>(
      api_, [&](size_t* count) { return api_.Graph_GetNumOutputs(&graph, count); },
      [&](const ort::OrtValueInfo** items, size_t count) { return api_.Graph_GetOutputs(&graph, items, count); });
}

std::vector<const ort::OrtValueInfo*> GraphReader::initializers(const ort::OrtGraph& graph) const {
  return read_list<const ort::OrtValueInfo*>(
      api_, [&](size_t* count) { return api_.Graph_GetNumInitializers(&graph, count); },
      [&](const ort::OrtValueInfo** items, size_t count) { return api_.Graph_GetInitializers(&graph, items, count); });
}

std::string GraphReader::model_path(const ort::OrtGraph& graph) const {
  const char* path = nullptr;
  check(api_, api_.Graph_GetModelPath(&graph, &path));
  return text(path);
}

std::string GraphReader::name(const ort::OrtGraph& graph) const {
  const char* name = nullptr;
  check(api_, api_.Graph_GetName(&graph, &name));
  return text(name);
}

int64_t GraphReader::ir_version(const ort::OrtGraph& graph) const {
  int64_t version = 0;
  check(api_, api_.Graph_GetOnnxIRVersion(&graph, &version));
  return version;
}

std::vector<std::pair<std::string, int64_t>> GraphReader::opsets(const ort::OrtGraph& graph) const {
  size_t count = 0;
  check(api_, api_.Graph_GetNumOperatorSets(&graph, &count));
  std::vector<const char*> domains(count);
  std::vector<int64_t> versions(count);
  if (count != 0) check(api_, api_.Graph_GetOperatorSets(&graph, domains.data(), versions.data(), count));
  std::vector<std::pair<std::string, int64_t>> found;
  for (size_t index = 0; index < count; ++index) found.emplace_back(text(domains[index]), versions[index]);
  return found;
}

std::vector<std::pair<std::string, std::string>> GraphReader::metadata(const ort::OrtGraph& graph) const {
  ort::OrtModelMetadata* metadata = nullptr;
  check(api_, api_.Graph_GetModelMetadata(&graph, &metadata));
  const std::shared_ptr<ort::OrtModelMetadata> owner(metadata, [this](auto* one) { api_.ReleaseModelMetadata(one); });
  ort::OrtAllocator* allocator = nullptr;
  check(api_, api_.GetAllocatorWithDefaultOptions(&allocator));
  char** keys = nullptr;
  int64_t count = 0;
  check(api_, api_.ModelMetadataGetCustomMetadataMapKeys(metadata, allocator, &keys, &count));
  std::vector<std::pair<std::string, std::string>> found;
  for (int64_t index = 0; index < count; ++index) {
    char* value = nullptr;
    ort::OrtStatus* const status = api_.ModelMetadataLookupCustomMetadataMap(metadata, allocator, keys[index], &value);
    if (status != nullptr) api_.ReleaseStatus(status);  // a key without a value says nothing
    found.emplace_back(text(keys[index]), text(value));
    for (char* one : {keys[index], value}) {
      if (one != nullptr) check(api_, api_.AllocatorFree(allocator, static_cast<void*>(one)));
    }
  }
  if (keys != nullptr) check(api_, api_.AllocatorFree(allocator, static_cast<void*>(keys)));
  return found;
}

size_t GraphReader::id(const ort::OrtNode& node) const {
  size_t id = 0;
  check(api_, api_.Node_GetId(&node, &id));
  return id;
}

std::string GraphReader::name(const ort::OrtNode& node) const {
  const char* name = nullptr;
  check(api_, api_.Node_GetName(&node, &name));
  return text(name);
}

std::string GraphReader::op_type(const ort::OrtNode& node) const {
  const char* name = nullptr;
  check(api_, api_.Node_GetOperatorType(&node, &name));
  return text(name);
}

std::string GraphReader::domain(const ort::OrtNode& node) const {
  const char* name = nullptr;
  check(api_, api_.Node_GetDomain(&node, &name));
  return text(name);
}

std::string GraphReader::assigned_to(const ort::OrtNode& node) const {
  const char* name = nullptr;
  check(api_, api_.Node_GetEpName(&node, &name));
  return text(name);
}

std::vector<const ort::OrtValueInfo*> GraphReader::inputs(const ort::OrtNode& node) const {
  return read_list<const ort::OrtValueInfo*>(
      api_, [&](size_t* count) { return api_.Node_GetNumInputs(&node, count); },
      [&](const ort::OrtValueInfo** items, size_t count) { return api_.Node_GetInputs(&node, items, count); });
}

std::vector<const ort::OrtValueInfo*> GraphReader::outputs(const ort::OrtNode& node) const {
  return read_list<const ort::OrtValueInfo*>(
      api_, [&](size_t* count) { return api_.Node_GetNumOutputs(&node, count); },
      [&](const ort::OrtValueInfo** items, size_t count) { return api_.Node_GetOutputs(&node, items, count); });
}

std::vector<const ort::OrtOpAttr*> GraphReader::attributes(const ort::OrtNode& node) const {
  return read_list<const ort::OrtOpAttr*>(
      api_, [&](size_t* count) { return api_.Node_GetNumAttributes(&node, count); },
      [&](const ort::OrtOpAttr** items, size_t count) { return api_.Node_GetAttributes(&node, items, count); });
}

std::vector<std::pair<std::string, const ort::OrtGraph*>> GraphReader::subgraphs(const ort::OrtNode& node) const {
  size_t count = 0;
  check(api_, api_.Node_GetNumSubgraphs(&node, &count));
  std::vector<const ort::OrtGraph*> graphs(count);
  std::vector<const char*> names(count);
  if (count != 0) check(api_, api_.Node_GetSubgraphs(&node, graphs.data(), count, names.data()));
  std::vector<std::pair<std::string, const ort::OrtGraph*>> found;
  for (size_t index = 0; index < count; ++index) found.emplace_back(text(names[index]), graphs[index]);
  return found;
}

std::optional<std::string> GraphReader::string_attribute(const ort::OrtNode& node, const char* name) const {
  const ort::OrtOpAttr* attribute = nullptr;
  ort::OrtStatus* const status = api_.Node_GetAttributeByName(&node, name, &attribute);
  if (status != nullptr) api_.ReleaseStatus(status);  // this is how ONNX Runtime says that there is none
  if (status != nullptr || attribute == nullptr || type(*attribute) != ort::ORT_OP_ATTR_STRING) return std::nullopt;
  return value(*attribute, ort::ORT_OP_ATTR_STRING);
}

std::string GraphReader::name(const ort::OrtOpAttr& attribute) const {
  const char* name = nullptr;
  check(api_, api_.OpAttr_GetName(&attribute, &name));
  return text(name);
}

ort::OrtOpAttrType GraphReader::type(const ort::OrtOpAttr& attribute) const {
  ort::OrtOpAttrType type = ort::ORT_OP_ATTR_UNDEFINED;
  ort::OrtStatus* const status = api_.OpAttr_GetType(&attribute, &type);
  if (status == nullptr) return type;
  api_.ReleaseStatus(status);  // sparse tensors and types have no name in this interface
  return ort::ORT_OP_ATTR_UNDEFINED;
}

std::string GraphReader::value(const ort::OrtOpAttr& attribute, ort::OrtOpAttrType type) const {
  // ONNX Runtime says how much it needs when it refuses a buffer that is too small.
  std::string bytes(256, '\0');
  size_t size = 0;
  ort::OrtStatus* status = api_.ReadOpAttr(&attribute, type, static_cast<void*>(bytes.data()), bytes.size(), &size);
  if (status != nullptr && size > bytes.size()) {
    api_.ReleaseStatus(status);
    bytes.resize(size);
    status = api_.ReadOpAttr(&attribute, type, static_cast<void*>(bytes.data()), bytes.size(), &size);
  }
  check(api_, status);
  bytes.resize(size);
  return bytes;
}

std::string GraphReader::name(const ort::OrtValueInfo* value) const {
  if (value == nullptr) return {};
  const char* name = nullptr;
  check(api_, api_.GetValueInfoName(value, &name));
  return text(name);
}

}  // namespace rknn_ep
