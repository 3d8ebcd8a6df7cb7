#include "runtime/binding.h"

#include <algorithm>
#include <iterator>

#include "runtime/failure.h"
#include "runtime/fork.h"

namespace rknn_ep {
namespace {

constexpr const char* kTypes[] = {"FLOAT32", "FLOAT16", "INT8",  "UINT8", "INT16", "UINT16",
                                  "INT32",   "UINT32",  "INT64", "BOOL",  "INT4",  "BFLOAT16"};
constexpr const char* kFormats[] = {"NCHW", "NHWC", "NC1HWC2", "UNDEFINED"};
constexpr const char* kQuantizations[] = {"NONE", "DFP", "AFFINE"};

template <size_t count>
std::string name_of(const char* const (&names)[count], int number) {
  return number >= 0 && static_cast<size_t>(number) < count ? names[number] : std::to_string(number);
}

template <size_t count>
int number_of(const char* const (&names)[count], const std::string& key, const std::string& name) {
  const auto found = std::find(std::begin(names), std::end(names), name);
  if (found != std::end(names)) return static_cast<int>(found - std::begin(names));
  std::string valid;
  for (const char* const one : names) valid += std::string(valid.empty() ? "" : ", ") + one;
  throw Failure("'" + key + "' does not take '" + name + "': it is one of " + valid);
}

uint32_t element_bytes(rknn_tensor_type type) {
  constexpr uint32_t kBytes[] = {4, 2, 1, 1, 2, 2, 4, 4, 8, 1, 0, 2};
  return type >= 0 && static_cast<size_t>(type) < std::size(kBytes) ? kBytes[type] : 0;
}

}  // namespace

Binding::Binding(std::shared_ptr<NpuContext> context, const Calls& calls, const KeyValues& options)
    : generation_(fork_generation()), context_(std::move(context)), calls_(calls) {
  const RknnLibrary& library = calls_.library;
  if (library.create_mem == nullptr || library.destroy_mem == nullptr || library.set_io_mem == nullptr) {
    throw Failure(library.name + " lacks rknn_create_mem, rknn_destroy_mem or rknn_set_io_mem: it binds no memory");
  }
  for (const TensorSpec& spec : calls_.interface.inputs) bind(inputs_, true, spec, options);
  for (const TensorSpec& spec : calls_.interface.outputs) bind(outputs_, false, spec, options);
}

void Binding::bind(std::vector<IoMemory>& memories, bool is_input, const TensorSpec& spec, const KeyValues& options) {
  const std::string prefix = std::string(is_input ? "input." : "output.") + std::to_string(memories.size());
  const std::string format = options.get(prefix + ".format"), type = options.get(prefix + ".type");
  rknn_query_cmd query = is_input ? RKNN_QUERY_NATIVE_INPUT_ATTR : RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR;
  if (format == "NC1HWC2") query = is_input ? RKNN_QUERY_NATIVE_INPUT_ATTR : RKNN_QUERY_NATIVE_OUTPUT_ATTR;
  if (format == "NHWC") query = is_input ? RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR : RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR;
  if (format == "NCHW") query = is_input ? RKNN_QUERY_INPUT_ATTR : RKNN_QUERY_OUTPUT_ATTR;
  rknn_tensor_attr attr = query_attr(context_->handle(), calls_, query, memories.size());
  if (!format.empty() && attr.n_dims >= 4 && attr.fmt != number_of(kFormats, prefix + ".format", format)) {
    if (format != "NCHW" || attr.fmt != RKNN_TENSOR_NHWC) {
      throw Failure("'" + spec.name + "' cannot be " + format + ": the device holds it as " +
                    name_of(kFormats, attr.fmt));
    }
    std::rotate(attr.dims + 1, attr.dims + 3, attr.dims + 4);
    attr.fmt = RKNN_TENSOR_NCHW;
    attr.w_stride = attr.h_stride = 0;
    attr.size_with_stride = attr.size;
  }
  if (!type.empty()) {
    const uint32_t before = element_bytes(attr.type);
    attr.type = static_cast<rknn_tensor_type>(number_of(kTypes, prefix + ".type", type));
    const uint32_t after = element_bytes(attr.type);
    if (before == 0 || after == 0) throw Failure("'" + spec.name + "' cannot be bound as " + type);
    attr.size = attr.size / before * after;
    attr.size_with_stride = attr.size_with_stride / before * after;
  }
  memories.emplace_back(context_->handle(), calls_, attr, std::max(attr.size, attr.size_with_stride));
}

void Binding::run() {
  check_not_forked(generation_);
  const std::lock_guard<std::mutex> lock(mutex_);
  calls_.check("rknn_run", calls_.library.run(context_->handle(), nullptr));
}

KeyValues Binding::describe() const {
  KeyValues values;
  for (const auto* memories : {&inputs_, &outputs_}) {
    const std::string kind = memories == &inputs_ ? "input" : "output";
    values.set(kind + "s", std::to_string(memories->size()));
    for (size_t i = 0; i < memories->size(); ++i) {
      const std::string prefix = kind + "." + std::to_string(i);
      describe_attr(values, prefix, (*memories)[i].attr());
      values.set(prefix + ".bytes", std::to_string((*memories)[i].bytes()));
    }
  }
  return values;
}

void describe_attr(KeyValues& values, const std::string& prefix, const rknn_tensor_attr& attr) {
  std::string dims;
  for (uint32_t i = 0; i < std::min<uint32_t>(attr.n_dims, RKNN_MAX_DIMS); ++i) {
    dims += (i ? "," : "") + std::to_string(attr.dims[i]);
  }
  values.set(prefix + ".dims", dims);
  values.set(prefix + ".type", name_of(kTypes, attr.type));
  values.set(prefix + ".format", name_of(kFormats, attr.fmt));
  values.set(prefix + ".w_stride", std::to_string(attr.w_stride));
  values.set(prefix + ".h_stride", std::to_string(attr.h_stride));
  values.set(prefix + ".qnt_type", name_of(kQuantizations, attr.qnt_type));
  char scale[40];
  std::snprintf(scale, sizeof(scale), "%.9g", static_cast<double>(attr.scale));
  std::replace(scale, scale + sizeof(scale), ',', '.');  // some locales write a comma
  values.set(prefix + ".scale", scale);
  values.set(prefix + ".zero_point", std::to_string(attr.zp));
  values.set(prefix + ".bytes", std::to_string(std::max(attr.size, attr.size_with_stride)));
}

}  // namespace rknn_ep
