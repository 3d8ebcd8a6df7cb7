// Finds, in a serialised ONNX model, the initializers whose data lies outside it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bundle/archive.h"

namespace rknn_ep::simulator {

struct ExternalTensor {
  std::string name;
  int32_t element_type = 0;  // ONNX's TensorProto.DataType
  std::vector<int64_t> dims;
  uint64_t offset = 0;  // from the first byte of simulation.data
  uint64_t size = 0;    // bytes
};

// Throws Failure(RKNN_ERR_MODEL_INVALID) where the bytes are not a model or a tensor does not fit into `data_size`
// bytes. Only data named simulation.data is accepted: a bundle refers to nothing outside itself.
std::vector<ExternalTensor> external_tensors(Bytes model, uint64_t data_size);

// The same model with its external tensors in `location`, where simulation.data begins at byte `begin`.
std::string relocated(Bytes model, const std::string& location, uint64_t begin);

}  // namespace rknn_ep::simulator
