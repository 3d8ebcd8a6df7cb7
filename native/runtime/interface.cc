#include "runtime/interface.h"

#include <algorithm>
#include <iterator>
#include <limits>

#include "bundle/key_values.h"
#include "bundle/soc_lines.h"
#include "runtime/failure.h"

namespace rknn_ep {
namespace {

constexpr int64_t kFormat = 1;
constexpr int64_t kMostTensors = 4096;

struct ElementType {
  const char* name;
  int32_t onnx_type;
  rknn_tensor_type rknn_type;
  uint32_t bytes;
};

// The types that can stand at a border: those that rknn_api has a name for.
constexpr ElementType kElementTypes[] = {
    {"FLOAT", 1, RKNN_TENSOR_FLOAT32, 4},      {"UINT8", 2, RKNN_TENSOR_UINT8, 1},
    {"INT8", 3, RKNN_TENSOR_INT8, 1},          {"UINT16", 4, RKNN_TENSOR_UINT16, 2},
    {"INT16", 5, RKNN_TENSOR_INT16, 2},        {"INT32", 6, RKNN_TENSOR_INT32, 4},
    {"INT64", 7, RKNN_TENSOR_INT64, 8},        {"BOOL", 9, RKNN_TENSOR_BOOL, 1},
    {"FLOAT16", 10, RKNN_TENSOR_FLOAT16, 2},   {"UINT32", 12, RKNN_TENSOR_UINT32, 4},
    {"BFLOAT16", 16, RKNN_TENSOR_BFLOAT16, 2},
};

class Reader {
 public:
  Reader(KeyValues values, const std::string& origin) : values_(std::move(values)), origin_(origin) {}

  const KeyValues& values() const { return values_; }

  std::string text(const std::string& key) const {
    if (!values_.has(key)) throw Failure(origin_ + ": '" + key + "' is missing");
    return values_.get(key);
  }

  std::vector<TensorSpec> tensors(const std::string& kind) const {
    const auto count = values_.integer(kind + "s");
    if (!count || *count < 0 || *count > kMostTensors) {
      throw Failure(origin_ + ": '" + kind + "s' is missing or impossible");
    }
    std::vector<TensorSpec> found;
    for (int64_t index = 0; index < *count; ++index) found.push_back(tensor(kind + "." + std::to_string(index)));
    return found;
  }

 private:
  TensorSpec tensor(const std::string& prefix) const {
    TensorSpec spec;
    spec.name = text(prefix + ".name");
    spec.type_name = text(prefix + ".dtype");
    const auto dims = values_.integers(prefix + ".dims");
    if (!dims) throw Failure(origin_ + ": '" + prefix + ".dims' is missing or malformed");
    spec.dims = *dims;
    if (spec.dims.size() > RKNN_MAX_DIMS) {
      throw Failure(origin_ + ": '" + spec.name + "' has " + std::to_string(spec.dims.size()) +
                    " dimensions, rknn_api holds 16");
    }
    const auto known = std::find_if(std::begin(kElementTypes), std::end(kElementTypes),
                                    [&](const ElementType& type) { return spec.type_name == type.name; });
    if (known == std::end(kElementTypes)) {
      throw Failure(origin_ + ": '" + spec.name + "' has type " + spec.type_name + ", which rknn_api lacks");
    }
    set_type(spec, known->rknn_type, origin_);
    if (const std::string border = values_.get(prefix + ".border"); !border.empty()) {
      if (border != "UINT8_NHWC" || spec.dims.size() != 4 || spec.rknn_type != RKNN_TENSOR_FLOAT32) {
        throw Failure(origin_ + ": '" + spec.name + "' has the border '" + border +
                      "', which this version does not know");
      }
      std::rotate(spec.dims.begin() + 1, spec.dims.begin() + 2, spec.dims.end());
      spec.picture = true;
      set_type(spec, RKNN_TENSOR_UINT8, origin_);
    }
    return spec;
  }

  KeyValues values_;
  const std::string& origin_;
};

}  // namespace

Interface read_interface(std::string_view text, const std::string& origin, const std::string& target) {
  const KeyValues lines(text);
  const Reader reader(target.empty() ? lines : lines_of_soc(lines, target), origin);
  Interface found;
  found.sdk = reader.values().get("sdk");
  const auto format = reader.values().integer("format");
  if (format != kFormat) {
    throw Failure(origin + ": format " + reader.values().get("format", "none") + ", written by rknn_ep " +
                  (found.sdk.empty() ? "of an unknown version" : found.sdk) +
                  "; this is rknn_ep " RKNN_EP_VERSION ", which reads format " + std::to_string(kFormat) +
                  "\n  Compile the model again with the installed version: rknn-ep compile.");
  }
  found.target = reader.text("target");
  found.partition = reader.text("partition");
  if (!target.empty() && !serves(lines, target)) {
    throw Failure("partition " + found.partition + " was compiled for " + served_socs_text(lines) +
                  ", but the option target asks for " + target + "\n  Compile the model for " + target +
                  ": rknn-ep compile --target, or --also-target beside others.");
  }
  found.copying_api = reader.values().integer("copying_api").value_or(1) != 0;
  found.core_masks = reader.values().integers("core_masks").value_or(std::vector<int64_t>{});
  found.inputs = reader.tensors("input");
  found.outputs = reader.tensors("output");
  const int64_t shapes = reader.values().has("shapes") ? reader.values().integer("shapes").value_or(0) : 1;
  if (shapes < 1 || shapes > RKNN_MAX_DYNAMIC_SHAPE_NUM) throw Failure(origin + ": 'shapes' is impossible");
  found.shapes = static_cast<size_t>(shapes);
  return found;
}

void set_type(TensorSpec& spec, rknn_tensor_type type, const std::string& origin) {
  const auto known = std::find_if(std::begin(kElementTypes), std::end(kElementTypes),
                                  [&](const ElementType& one) { return one.rknn_type == type; });
  if (known == std::end(kElementTypes)) {
    throw Failure(origin + ": '" + spec.name + "' has rknn_tensor_type " + std::to_string(type) +
                  ", which cannot stand at a border");
  }
  spec.type_name = known->name;
  spec.onnx_type = known->onnx_type;
  spec.rknn_type = type;
  uint64_t bytes = known->bytes;
  for (const int64_t dim : spec.dims) {
    if (dim < 1 || bytes * static_cast<uint64_t>(dim) > std::numeric_limits<uint32_t>::max() ||
        dim > std::numeric_limits<int32_t>::max()) {
      throw Failure(origin + ": '" + spec.name + "' has the impossible shape " +
                    shape_text(spec.dims.data(), spec.dims.size()));
    }
    bytes *= static_cast<uint64_t>(dim);
  }
  spec.bytes = static_cast<uint32_t>(bytes);
}

std::string shape_text(const int64_t* dims, size_t count) {
  std::string text = "[";
  for (size_t index = 0; index < count; ++index) {
    if (index != 0) text += ',';
    text += std::to_string(dims[index]);
  }
  return text + "]";
}

std::string type_name(int32_t onnx_type) {
  for (const ElementType& type : kElementTypes) {
    if (type.onnx_type == onnx_type) return type.name;
  }
  return "type " + std::to_string(onnx_type);
}

}  // namespace rknn_ep
