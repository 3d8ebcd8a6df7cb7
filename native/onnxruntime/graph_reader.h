// Reads ONNX Runtime's graphs: lists as vectors, names as strings, every status checked (Failure).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "abi/ort_api.h"

namespace rknn_ep {

class GraphReader {
 public:
  // `minor_version`: of the running ONNX Runtime, 1.<minor>.
  GraphReader(const ort::OrtApi& api, int minor_version) : api_(api), minor_version_(minor_version) {}

  const ort::OrtApi& api() const { return api_; }
  int minor_version() const { return minor_version_; }

  bool is_subgraph(const ort::OrtGraph& graph) const;
  std::vector<const ort::OrtNode*> nodes(const ort::OrtGraph& graph) const;
  // Initializers that may be overridden stand among the inputs too.
  std::vector<const ort::OrtValueInfo*> inputs(const ort::OrtGraph& graph) const;
  std::vector<const ort::OrtValueInfo*> outputs(const ort::OrtGraph& graph) const;
  std::vector<const ort::OrtValueInfo*> initializers(const ort::OrtGraph& graph) const;
  std::string model_path(const ort::OrtGraph& graph) const;
  std::string name(const ort::OrtGraph& graph) const;
  int64_t ir_version(const ort::OrtGraph& graph) const;
  std::vector<std::pair<std::string, int64_t>> opsets(const ort::OrtGraph& graph) const;
  std::vector<std::pair<std::string, std::string>> metadata(const ort::OrtGraph& graph) const;

  size_t id(const ort::OrtNode& node) const;
  std::string name(const ort::OrtNode& node) const;
  std::string op_type(const ort::OrtNode& node) const;
  std::string domain(const ort::OrtNode& node) const;
  // The provider that a node is assigned to; empty: none yet.
  std::string assigned_to(const ort::OrtNode& node) const;
  // Null where an optional one is left out.
  std::vector<const ort::OrtValueInfo*> inputs(const ort::OrtNode& node) const;
  std::vector<const ort::OrtValueInfo*> outputs(const ort::OrtNode& node) const;
  std::vector<const ort::OrtOpAttr*> attributes(const ort::OrtNode& node) const;
  // Attribute name and body of If, Loop and Scan.
  std::vector<std::pair<std::string, const ort::OrtGraph*>> subgraphs(const ort::OrtNode& node) const;
  // A string attribute, whatever bytes it holds; nothing where the node has no such attribute.
  std::optional<std::string> string_attribute(const ort::OrtNode& node, const char* name) const;

  std::string name(const ort::OrtOpAttr& attribute) const;
  ort::OrtOpAttrType type(const ort::OrtOpAttr& attribute) const;
  // The attribute's value as ReadOpAttr lays it out: numbers in a row, a string's bytes without its terminator,
  // strings each with one.
  std::string value(const ort::OrtOpAttr& attribute, ort::OrtOpAttrType type) const;

  // Empty for a null value.
  std::string name(const ort::OrtValueInfo* value) const;

 private:
  const ort::OrtApi& api_;
  const int minor_version_;
};

}  // namespace rknn_ep
