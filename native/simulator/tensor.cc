#include "simulator/tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

constexpr int64_t kMostTensors = 4096;

[[noreturn]] void invalid(const std::string& key, const std::string& value) {
  throw Failure(RKNN_ERR_MODEL_INVALID, "native.txt: '" + key + "=" + value + "' makes no sense");
}

rknn_tensor_type border_type(const KeyValues& text, const std::string& key) {
  static constexpr struct {
    const char* name;
    rknn_tensor_type type;
  } kTypes[] = {{"FLOAT", RKNN_TENSOR_FLOAT32}, {"FLOAT16", RKNN_TENSOR_FLOAT16}, {"INT64", RKNN_TENSOR_INT64},
                {"INT32", RKNN_TENSOR_INT32},   {"INT16", RKNN_TENSOR_INT16},     {"INT8", RKNN_TENSOR_INT8},
                {"UINT8", RKNN_TENSOR_UINT8},   {"UINT16", RKNN_TENSOR_UINT16},   {"UINT32", RKNN_TENSOR_UINT32},
                {"BOOL", RKNN_TENSOR_BOOL}};
  const std::string name = text.get(key);
  for (const auto& known : kTypes) {
    if (name == known.name) return known.type;
  }
  invalid(key, name);
}

Tensor parse_tensor(const KeyValues& text, const std::string& prefix) {
  Tensor tensor;
  tensor.name = text.get(prefix + "name");
  if (tensor.name.empty()) invalid(prefix + "name", "");
  const auto dims = text.integers(prefix + "dims");
  if (!dims || dims->size() > RKNN_MAX_DIMS) invalid(prefix + "dims", text.get(prefix + "dims"));
  tensor.dims = *dims;
  tensor.session_type = border_type(text, prefix + "dtype");
  tensor.elements = 1;
  for (const int64_t dim : tensor.dims) {
    if (dim < 1 || dim > std::numeric_limits<uint32_t>::max()) invalid(prefix + "dims", text.get(prefix + "dims"));
    tensor.elements *= static_cast<uint64_t>(dim);
    if (tensor.elements > std::numeric_limits<uint32_t>::max() / 8) invalid(prefix + "dims", text.get(prefix + "dims"));
  }
  const bool real = tensor.session_type == RKNN_TENSOR_FLOAT32 || tensor.session_type == RKNN_TENSOR_FLOAT16;
  const std::string grid = text.get(prefix + "qtype", "NONE");
  if (grid == "INT8" || grid == "INT16") {
    const auto scale = text.number(prefix + "scale");
    const auto zero_point = text.integer(prefix + "zero_point");
    const int64_t limit = grid == "INT8" ? 128 : 32768;
    if (!scale || !(static_cast<float>(*scale) > 0)) invalid(prefix + "scale", text.get(prefix + "scale"));
    if (!zero_point || *zero_point < -limit || *zero_point >= limit) {
      invalid(prefix + "zero_point", text.get(prefix + "zero_point"));
    }
    if (real) {
      tensor.device_type = grid == "INT8" ? RKNN_TENSOR_INT8 : RKNN_TENSOR_INT16;
      tensor.quantization = RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC;
      tensor.scale = static_cast<float>(*scale);
      tensor.zero_point = static_cast<int32_t>(*zero_point);
      return tensor;
    }
  } else if (grid != "NONE" && grid != "FLOAT16") {
    invalid(prefix + "qtype", grid);
  }
  // Boards report float16 tensors as affine with scale 1 and zero point 0.
  tensor.device_type = real ? RKNN_TENSOR_FLOAT16 : tensor.session_type;
  tensor.quantization = real ? RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC : RKNN_TENSOR_QNT_NONE;
  return tensor;
}

std::vector<Tensor> parse_tensors(const KeyValues& text, const std::string& kind, bool may_be_none) {
  const auto count = text.integer(kind + "s");
  if (!count || *count < (may_be_none ? 0 : 1) || *count > kMostTensors) invalid(kind + "s", text.get(kind + "s"));
  std::vector<Tensor> tensors;
  for (int64_t i = 0; i < *count; ++i) tensors.push_back(parse_tensor(text, kind + "." + std::to_string(i) + "."));
  return tensors;
}

uint32_t aligned(uint32_t value, uint32_t alignment) { return (value + alignment - 1) / alignment * alignment; }

}  // namespace

uint64_t Tensor::session_bytes() const { return elements * element_bytes(session_type); }

Description Description::parse(const KeyValues& text) {
  if (text.get("format") != "1") invalid("format", text.get("format"));
  Description description;
  description.soc.name = text.get("target");
  const auto masks = text.integers("core_masks");
  if (!masks && text.has("core_masks")) invalid("core_masks", text.get("core_masks"));
  if (masks) description.soc.core_masks = *masks;
  description.soc.copying_api = text.get("copying_api", "1") != "0";
  description.inputs = parse_tensors(text, "input", true);
  description.outputs = parse_tensors(text, "output", false);
  description.weight_bytes = static_cast<uint64_t>(std::max<int64_t>(0, text.integer("weight_bytes").value_or(0)));
  description.internal_bytes = static_cast<uint64_t>(std::max<int64_t>(0, text.integer("internal_bytes").value_or(0)));
  description.exact_model = text.get("exact_model", "simulation.onnx");
  description.custom_string = text.get("custom_string");
  description.partition = text.get("partition");
  const int64_t shapes = text.has("shapes") ? text.integer("shapes").value_or(0) : 1;
  if (shapes < 1 || shapes > RKNN_MAX_DYNAMIC_SHAPE_NUM) invalid("shapes", text.get("shapes"));
  description.shapes = static_cast<size_t>(shapes);
  return description;
}

void Description::require_same_tensors(const Description& other) const {
  const auto same = [](const std::vector<Tensor>& mine, const std::vector<Tensor>& others) {
    return std::equal(mine.begin(), mine.end(), others.begin(), others.end(), [](const Tensor& a, const Tensor& b) {
      return a.name == b.name && a.session_type == b.session_type && a.dims.size() == b.dims.size();
    });
  };
  if (same(inputs, other.inputs) && same(outputs, other.outputs)) return;
  throw Failure(RKNN_ERR_MODEL_INVALID, "the bundle's descriptions for several input shapes are of different models");
}

const char* type_name(rknn_tensor_type type) {
  switch (type) {
    case RKNN_TENSOR_FLOAT32:
      return "float32";
    case RKNN_TENSOR_FLOAT16:
      return "float16";
    case RKNN_TENSOR_INT8:
      return "int8";
    case RKNN_TENSOR_UINT8:
      return "uint8";
    case RKNN_TENSOR_INT16:
      return "int16";
    case RKNN_TENSOR_UINT16:
      return "uint16";
    case RKNN_TENSOR_INT32:
      return "int32";
    case RKNN_TENSOR_UINT32:
      return "uint32";
    case RKNN_TENSOR_INT64:
      return "int64";
    case RKNN_TENSOR_BOOL:
      return "bool";
    case RKNN_TENSOR_INT4:
      return "int4";
    case RKNN_TENSOR_BFLOAT16:
      return "bfloat16";
    default:
      return "an unknown type";
  }
}

rknn_tensor_attr attributes(const Tensor& tensor, uint32_t index, bool is_input, AttributeKind kind, const Soc& soc) {
  rknn_tensor_attr attr{};
  attr.index = index;
  std::strncpy(attr.name, tensor.name.c_str(), sizeof(attr.name) - 1);
  attr.type = tensor.device_type;
  attr.qnt_type = tensor.quantization;
  attr.zp = tensor.zero_point;
  attr.scale = tensor.scale;
  const auto bytes = static_cast<uint32_t>(element_bytes(tensor.device_type));
  std::vector<uint32_t> dims(tensor.dims.begin(), tensor.dims.end());
  if (dims.empty()) dims = {1};
  attr.fmt = RKNN_TENSOR_UNDEFINED;
  if (tensor.is_image()) {
    const uint32_t n = dims[0], c = dims[1], h = dims[2], w = dims[3];
    const bool few_channels = c == 1 || c == 3 || c == 4;
    if (kind == AttributeKind::kNative && !(is_input && few_channels)) {
      const uint32_t block = soc.channel_block(bytes);
      attr.fmt = RKNN_TENSOR_NC1HWC2;
      dims = {n, (c + block - 1) / block, h, w, block};
    } else if (is_input || kind == AttributeKind::kNativeNhwc) {
      attr.fmt = RKNN_TENSOR_NHWC;
      dims = {n, h, w, c};
      attr.w_stride = is_input ? aligned(w, soc.width_alignment()) : w;
    } else {
      attr.fmt = RKNN_TENSOR_NCHW;
    }
  }
  attr.n_dims = static_cast<uint32_t>(dims.size());
  attr.n_elems = 1;
  for (size_t i = 0; i < dims.size(); ++i) {
    attr.dims[i] = dims[i];
    attr.n_elems *= dims[i];
  }
  attr.size = attr.n_elems * bytes;
  attr.size_with_stride = attr.w_stride ? attr.size / attr.dims[2] * attr.w_stride : attr.size;
  return attr;
}

}  // namespace rknn_ep::simulator
