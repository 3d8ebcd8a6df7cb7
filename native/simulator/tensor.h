// What one input or output of a partition is: as the simulated device shows it, and as the session behind it takes it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "abi/rknn_api.h"
#include "bundle/key_values.h"
#include "simulator/soc.h"
#include "tensor/convert.h"

namespace rknn_ep::simulator {

struct Tensor {
  std::string name;
  std::vector<int64_t> dims;            // in ONNX's order: NCHW where there are four
  rknn_tensor_type session_type{};      // what the ONNX model takes or gives
  rknn_tensor_type device_type{};       // what the device holds: INT8 for a quantised float
  rknn_tensor_qnt_type quantization{};  // NONE: device codes are the values themselves
  float scale = 1.0f;
  int32_t zero_point = 0;
  uint64_t elements = 0;

  bool is_image() const { return dims.size() == 4; }
  uint64_t session_bytes() const;
  // Whether device codes stand for real values by scale and zero point.
  bool quantized() const { return quantization != RKNN_TENSOR_QNT_NONE && device_type != RKNN_TENSOR_FLOAT16; }
};

// What native.txt says about a partition.
struct Description {
  Soc soc;
  std::vector<Tensor> inputs;
  std::vector<Tensor> outputs;
  uint64_t weight_bytes = 0;
  uint64_t internal_bytes = 0;
  std::string exact_model;  // entry that simulation=exact runs
  std::string custom_string;
  std::string partition;
  size_t shapes = 1;  // choices of input shapes in the bundle

  // Throws Failure(RKNN_ERR_MODEL_INVALID) where another choice of shapes has other inputs or outputs.
  void require_same_tensors(const Description& other) const;
  // Throws Failure(RKNN_ERR_MODEL_INVALID) that names the key at fault.
  static Description parse(const KeyValues& text);
};

using tensor::element_bytes;
const char* type_name(rknn_tensor_type type);

// Attributes as rknn_query reports them.
enum class AttributeKind { kNormal, kNative, kNativeNhwc };
rknn_tensor_attr attributes(const Tensor& tensor, uint32_t index, bool is_input, AttributeKind kind, const Soc& soc);

}  // namespace rknn_ep::simulator
