// The nodes of a simulation model that no ONNX Runtime computes: operators of a program's own, which it registers with
// rknn_register_custom_ops.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/rknn_api.h"
#include "bundle/archive.h"

namespace rknn_ep::simulator {

// A tensor at such a node: static, as everything on the device.
struct CustomTensor {
  std::string name;
  int32_t element_type = 0;  // ONNX's TensorProto.DataType
  std::vector<int64_t> dims;
};

struct CustomAttribute {
  std::string name;
  rknn_tensor_type type{};
  uint32_t count = 0;
  std::vector<uint8_t> data;
};

struct CustomNode {
  std::string domain, op_type;
  std::vector<CustomTensor> inputs, outputs;
  std::vector<CustomAttribute> attributes;
};

// Throws Failure(RKNN_ERR_MODEL_INVALID) where the bytes are not a model, or say no static shape of such a tensor.
std::vector<CustomNode> custom_nodes(Bytes model);

}  // namespace rknn_ep::simulator
