// Dynamic shapes: which of a model's choices of input shapes a context computes with.
#include <algorithm>
#include <cstring>

#include "simulator/context.h"
#include "simulator/failure.h"
#include "simulator/guard.h"

namespace rknn_ep::simulator {
namespace {

std::string shape_text(const uint32_t* dims, uint32_t count) {
  std::string text = "[";
  for (uint32_t i = 0; i < std::min<uint32_t>(count, RKNN_MAX_DIMS); ++i) {
    text += (i ? "," : "") + std::to_string(dims[i]);
  }
  return text + "]";
}

rknn_tensor_attr own_attributes(const Description& description, uint32_t index) {
  return attributes(description.inputs[index], index, true, AttributeKind::kNormal, description.soc);
}

}  // namespace

// Programs that forget this work on no board either.
void Context::require_shape() const {
  if (shape_chosen_) return;
  throw Failure(RKNN_ERR_PARAM_INVALID, "the model has " + std::to_string(model_->shapes()) +
                                            " choices of input shapes: call rknn_set_input_shapes first");
}

// Whether `wish` is that shape: in the order that rknn_query tells, or for pictures as NCHW.
bool Context::takes(size_t shape, const rknn_tensor_attr& wish) const {
  const Description& description = model_->description(shape);
  const std::vector<int64_t>& onnx = description.inputs[wish.index].dims;
  const auto equal = [](int64_t a, uint32_t b) { return a == b; };
  const rknn_tensor_attr own = own_attributes(description, wish.index);
  if (wish.n_dims == own.n_dims && std::equal(own.dims, own.dims + own.n_dims, wish.dims)) return true;
  return raw(wish.fmt) == RKNN_TENSOR_NCHW && wish.n_dims == onnx.size() &&
         std::equal(onnx.begin(), onnx.end(), wish.dims, equal);
}

size_t Context::find_shape(uint32_t count, const rknn_tensor_attr* wishes, bool alone) const {
  const size_t inputs = model_->description().inputs.size();
  if (!wishes) throw Failure(RKNN_ERR_PARAM_INVALID, "attr is null");
  if (!alone && count != inputs) {
    throw Failure(RKNN_ERR_PARAM_INVALID,
                  std::to_string(count) + " inputs given, the model has " + std::to_string(inputs));
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (wishes[i].index >= inputs) {
      throw Failure(RKNN_ERR_PARAM_INVALID,
                    "index " + std::to_string(wishes[i].index) + " of " + std::to_string(inputs) + " inputs");
    }
  }
  size_t found = model_->shapes();
  for (size_t shape = model_->shapes(); shape-- > 0;) {
    if (!std::all_of(wishes, wishes + count, [&](const rknn_tensor_attr& wish) { return takes(shape, wish); }))
      continue;
    found = shape;
    if (!alone) continue;
    // One input's shape leaves the others', where there is such a choice.
    const std::vector<Tensor>&now = current().inputs, &then = model_->description(shape).inputs;
    bool others_stay = true;
    for (size_t i = 0; i < inputs; ++i) others_stay &= i == wishes[0].index || now[i].dims == then[i].dims;
    if (others_stay) break;
  }
  if (found < model_->shapes()) return found;
  std::string wanted, known;
  for (uint32_t i = 0; i < count; ++i) {
    wanted += " " + shape_text(wishes[i].dims, wishes[i].n_dims);
  }
  for (size_t shape = 0; shape < model_->shapes(); ++shape) {
    known += shape ? ", or" : "";
    for (uint32_t i = 0; i < inputs; ++i) {
      const rknn_tensor_attr own = own_attributes(model_->description(shape), i);
      known += " " + shape_text(own.dims, own.n_dims);
    }
  }
  throw Failure(RKNN_ERR_PARAM_INVALID,
                "the inputs cannot be" + wanted + ": the model was compiled for" + known +
                    (dynamic() ? "" : ", and for it alone. Compile it for several: rknn-ep compile --dynamic-input"));
}

void Context::set_input_shapes(uint32_t count, const rknn_tensor_attr* wishes, bool alone) {
  const std::lock_guard<std::mutex> lock(mutex_);
  soc().require_large("rknn_set_input_shapes");
  require_session();
  choose_shape(find_shape(count, wishes, alone));
}

// What was set and bound for the shape before is so no longer.
void Context::choose_shape(size_t shape) {
  const bool same = shape == shape_;
  if (!same) model_->session(shape);  // may fail: then everything stays as it is
  shape_chosen_ = true;
  if (same) return;
  finish();
  shape_ = shape;
  frames_.clear();
  for (Port& port : inputs_) port = Port{};
  for (Port& port : outputs_) port = Port{};
  reshaped_ = started_;
}

void Context::fill_range(rknn_input_range& range) const {
  const uint32_t index = range.index;
  if (index >= model_->description().inputs.size()) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "index " + std::to_string(index) + " of " +
                                              std::to_string(model_->description().inputs.size()) + " inputs");
  }
  std::memset(&range, 0, sizeof(range));
  range.index = index;
  range.shape_number = static_cast<uint32_t>(model_->shapes());
  for (size_t shape = 0; shape < model_->shapes(); ++shape) {
    const rknn_tensor_attr own = own_attributes(model_->description(shape), index);
    range.fmt = own.fmt;
    range.n_dims = own.n_dims;
    std::memcpy(range.name, own.name, sizeof(range.name));
    std::copy(own.dims, own.dims + own.n_dims, range.dyn_range[shape]);
  }
}

}  // namespace rknn_ep::simulator
