// What stands at a partition's border: names, shapes and types of its inputs and outputs, read from native.txt.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "abi/rknn_api.h"

namespace rknn_ep {

struct TensorSpec {
  std::string name;
  std::vector<int64_t> dims;  // in the order of the ONNX graph; empty for a scalar
  std::string type_name;      // ONNX's: FLOAT, INT64
  int32_t onnx_type = 0;      // the same as TensorProto.DataType, which is also ONNX Runtime's number
  rknn_tensor_type rknn_type = RKNN_TENSOR_TYPE_MAX;
  uint32_t bytes = 0;
  bool picture = false;  // uint8 NHWC at the border, whose values the device takes as real numbers of an NCHW tensor
};

struct Interface {
  std::string target;
  std::string partition;
  std::string sdk;  // version of rknn_ep that wrote it
  std::vector<int64_t> core_masks;
  bool copying_api = true;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  size_t shapes = 1;  // choices of input shapes, each with a description of its own
};

// Reads native.txt, as it holds on the SoC `target` where one is named, else on the one that was planned for. Throws
// Failure, naming `origin`, for lines of another format or with impossible values, and for a SoC that they do not
// serve.
Interface read_interface(std::string_view text, const std::string& origin, const std::string& target = {});

// Fills in the element type and the size in bytes. Throws Failure, naming `origin`, for a type that cannot stand at a
// border and for dimensions that no memory holds.
void set_type(TensorSpec& spec, rknn_tensor_type type, const std::string& origin);

// "[1,3,48,320]"
std::string shape_text(const int64_t* dims, size_t count);

// Name of an ONNX element type by its number; "type 99" for one that we do not know.
std::string type_name(int32_t onnx_type);

}  // namespace rknn_ep
