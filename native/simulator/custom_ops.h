// A program's own operators inside the simulation: callbacks of rknn_custom_op as kernels of ONNX Runtime.
#pragma once

#include <memory>
#include <vector>

#include "abi/ort_custom_op.h"
#include "abi/rknn_custom_op.h"
#include "simulator/custom_nodes.h"
#include "simulator/engine.h"

namespace rknn_ep::simulator {

class CustomOps {
 public:
  // `nodes` are those of the model, `ops` what the program registers: all nodes must be served. Throws Failure.
  CustomOps(std::shared_ptr<Engine> engine, std::vector<CustomNode> nodes, const rknn_custom_op* ops, uint32_t count);
  ~CustomOps();
  CustomOps(const CustomOps&) = delete;
  CustomOps& operator=(const CustomOps&) = delete;

  // What a session needs to know; lives as long as this does.
  const std::vector<ort::OrtCustomOpDomain*>& domains() const { return domains_; }

  // Attributes of the node that a callback works on; `n_elems` is 0 where there is none of that name.
  static void attribute(const rknn_custom_op_context* context, const char* name, rknn_custom_op_attr* attribute);

 private:
  struct Operator;
  struct Kernel;

  std::shared_ptr<Engine> engine_;
  std::vector<CustomNode> nodes_;
  std::vector<std::unique_ptr<Operator>> operators_;
  std::vector<ort::OrtCustomOpDomain*> domains_;
};

}  // namespace rknn_ep::simulator
