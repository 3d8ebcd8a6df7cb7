// EPContext nodes: a compiled partition as a node of an ordinary ONNX model, its bundle inside the node (embed mode 1)
// or in a file beside the model (embed mode 0).
#pragma once

#include <string>

#include "onnxruntime/graph_reader.h"
#include "onnxruntime/session_settings.h"
#include "runtime/executor.h"

namespace rknn_ep {

// Whether a node is an EPContext node that this provider wrote.
bool is_own_context(const GraphReader& reader, const ort::OrtNode& node);

// A compiled partition that was read back.
struct ContextPartition {
  std::string name;
  BundleSource bundle;
};

// Reads an own EPContext node. `graph` says where the model lies. Throws Failure for what cannot be used: a missing or
// cut payload, a path that leaves the model's folder, another target than the session's option asks for.
ContextPartition read_context(const GraphReader& reader, const ort::OrtGraph& graph, const ort::OrtNode& node,
                              const SessionSettings& settings);

// Writes an EPContext node for a partition whose bundle is at `bundle_path`, and in embed mode 0 the file beside the
// model. It gets the name of `fused_node`, by which ONNX Runtime knows what it replaces. The caller hands the node to
// ONNX Runtime. Throws Failure.
ort::OrtNode* write_context(const GraphReader& reader, const ort::OrtGraph& graph, const ort::OrtNode& fused_node,
                            const Interface& interface, const std::string& bundle_path,
                            const SessionSettings& settings);

}  // namespace rknn_ep
