// The border of a model that only the device's runtime can read, from what rknn_query says.
#include "runtime/queried_interface.h"

#include <algorithm>

#include "runtime/failure.h"

namespace rknn_ep {
namespace {

constexpr uint32_t kMostTensors = 4096;

TensorSpec read_tensor(const NpuContext& context, rknn_query_cmd command, uint32_t index) {
  rknn_tensor_attr attr{};
  attr.index = index;
  context.check("rknn_query", context.library().query(context.handle(), command, &attr, sizeof(attr)));
  TensorSpec spec;
  spec.name.assign(attr.name, std::find(attr.name, attr.name + sizeof(attr.name), '\0'));
  if (attr.n_dims > RKNN_MAX_DIMS) throw Failure("'" + spec.name + "' has impossible dimensions");
  spec.dims.assign(attr.dims, attr.dims + attr.n_dims);
  // Programs see pictures as ONNX does, whatever order the runtime tells them in.
  if (attr.n_dims == 4 && attr.fmt == RKNN_TENSOR_NHWC)
    std::rotate(spec.dims.begin() + 1, spec.dims.end() - 1, spec.dims.end());
  // Codes and float16 are float32 at the border, as in the ONNX model before it was compiled.
  const bool real = attr.type == RKNN_TENSOR_FLOAT16 || attr.type == RKNN_TENSOR_BFLOAT16 ||
                    attr.qnt_type == RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC || attr.qnt_type == RKNN_TENSOR_QNT_DFP;
  set_type(spec, real ? RKNN_TENSOR_FLOAT32 : attr.type, "rknn_query");
  return spec;
}

// Which shapes the inputs of a dynamic model take; empty for a static one, to which runtimes answer with an error.
std::vector<rknn_input_range> input_ranges(const NpuContext& context, uint32_t inputs) {
  if (context.library().set_input_shapes == nullptr) return {};
  std::vector<rknn_input_range> ranges(inputs);
  for (uint32_t i = 0; i < inputs; ++i) {
    ranges[i].index = i;
    const int code =
        context.library().query(context.handle(), RKNN_QUERY_INPUT_DYNAMIC_RANGE, &ranges[i], sizeof(ranges[i]));
    if (code != RKNN_SUCC || ranges[i].shape_number < 1 || ranges[i].shape_number > RKNN_MAX_DYNAMIC_SHAPE_NUM ||
        ranges[i].shape_number != ranges[0].shape_number) {
      return {};
    }
  }
  return ranges;
}

}  // namespace

std::vector<Interface> query_interfaces(const NpuContext& context, const std::string& name) {
  rknn_input_output_num numbers{};
  context.check("rknn_query",
                context.library().query(context.handle(), RKNN_QUERY_IN_OUT_NUM, &numbers, sizeof(numbers)));
  if (std::max(numbers.n_input, numbers.n_output) > kMostTensors)
    throw Failure(name + ": impossible numbers of tensors");
  const auto read = [&](rknn_query_cmd input, rknn_query_cmd output) {
    Interface found;
    found.partition = name;
    found.target = "this SoC";
    for (uint32_t i = 0; i < numbers.n_input; ++i) found.inputs.push_back(read_tensor(context, input, i));
    for (uint32_t i = 0; i < numbers.n_output; ++i) found.outputs.push_back(read_tensor(context, output, i));
    return found;
  };
  std::vector<Interface> found = {read(RKNN_QUERY_INPUT_ATTR, RKNN_QUERY_OUTPUT_ATTR)};
  const std::vector<rknn_input_range> ranges = input_ranges(context, numbers.n_input);
  if (ranges.empty()) return found;
  found.clear();
  for (uint32_t shape = 0; shape < ranges[0].shape_number; ++shape) {
    std::vector<rknn_tensor_attr> wishes(ranges.size());
    for (uint32_t i = 0; i < wishes.size(); ++i) {
      wishes[i].index = i;
      wishes[i].fmt = ranges[i].fmt;
      wishes[i].n_dims = std::min<uint32_t>(ranges[i].n_dims, RKNN_MAX_DIMS);
      std::copy(ranges[i].dyn_range[shape], ranges[i].dyn_range[shape] + wishes[i].n_dims, wishes[i].dims);
    }
    context.check("rknn_set_input_shapes",
                  context.library().set_input_shapes(context.handle(), numbers.n_input, wishes.data()));
    found.push_back(read(RKNN_QUERY_CURRENT_INPUT_ATTR, RKNN_QUERY_CURRENT_OUTPUT_ATTR));
  }
  return found;
}

}  // namespace rknn_ep
