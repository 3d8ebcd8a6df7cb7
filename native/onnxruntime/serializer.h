// ONNX Runtime has no C function that serialises a graph: this writes one as an ONNX ModelProto.
#pragma once

#include <string>

#include "onnxruntime/graph_reader.h"

namespace rknn_ep {

// The whole model with every initializer inside. Node i of the result is node i of `reader.nodes(graph)`; nodes without
// a name stay without one. A node with an attribute that ONNX Runtime's interface cannot read (a sparse tensor, a type)
// is written with the domain kUnreadableDomain, so that nobody takes it for what it is not.
// Throws Failure for a model over 2 GiB, which protobuf cannot hold.
std::string serialize_graph(const GraphReader& reader, const ort::OrtGraph& graph);

inline constexpr char kUnreadableDomain[] = "rknn_ep.unreadable";

}  // namespace rknn_ep
