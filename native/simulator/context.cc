#include "simulator/context.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

constexpr size_t kBufferAlignment = 64;

// Enums in a program's structures can hold anything; read as the integers that they are.
template <typename Enum>
int raw(const Enum& value) {
  int number = 0;
  static_assert(sizeof(value) == sizeof(number), "rknn_api's enums are ints");
  std::memcpy(&number, &value, sizeof(number));
  return number;
}

std::string quoted(const Tensor& tensor) { return "'" + tensor.name + "'"; }

}  // namespace

Context::Context(std::shared_ptr<Model> model) : model_(std::move(model)) {
  const Description& description = model_->description();
  owned_values_.reserve(description.inputs.size() + description.outputs.size());
  inputs_ = make_ports(description.inputs, input_values_);
  outputs_ = make_ports(description.outputs, output_values_);
}

std::shared_ptr<Context> Context::duplicate() const {
  const Soc& soc = model_->description().soc;
  if (soc.zero_copy_only()) throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, soc.name + " cannot duplicate contexts");
  return std::make_shared<Context>(model_);
}

std::vector<Context::Port> Context::make_ports(const std::vector<Tensor>& tensors,
                                               std::vector<ort::OrtValue*>& values) {
  std::vector<Port> ports(tensors.size());
  for (size_t i = 0; i < tensors.size(); ++i) {
    const size_t bytes = tensors[i].session_bytes();
    const size_t room = (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
    ports[i].buffer = {static_cast<uint8_t*>(std::aligned_alloc(kBufferAlignment, room)), std::free};
    if (!ports[i].buffer) throw std::bad_alloc();
    owned_values_.emplace_back(model_->session().engine(), ports[i].buffer.get(), bytes, tensors[i].dims,
                               ort_type(tensors[i].session_type));
    values.push_back(owned_values_.back().get());
  }
  return ports;
}

void Context::require_copying_api() const {
  const Soc& soc = model_->description().soc;
  if (!soc.copying_api) {
    throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH,
                  soc.name + " has only the zero-copy functions: rknn_create_mem, rknn_set_io_mem, rknn_run");
  }
}

// How the program's memory stands to the tensor. With pass_through the program speaks the device's own type and layout.
Placement Context::placement(const Tensor& tensor, int type, int format, bool pass_through, bool is_input) const {
  Placement placement;
  const rknn_tensor_attr native = attributes(tensor, 0, is_input, AttributeKind::kNative, model_->description().soc);
  placement.type = pass_through ? tensor.device_type : static_cast<rknn_tensor_type>(type);
  placement.format = pass_through ? native.fmt : static_cast<rknn_tensor_format>(format);
  const int code = is_input ? RKNN_ERR_INPUT_INVALID : RKNN_ERR_OUTPUT_INVALID;
  if (!pass_through && (type < 0 || type >= RKNN_TENSOR_TYPE_MAX || element_bytes(placement.type) == 0)) {
    throw Failure(code,
                  quoted(tensor) + ": rknn_tensor_type " + std::to_string(type) + " is not one that can be converted");
  }
  if (!pass_through && tensor.is_image() && (format < 0 || format > RKNN_TENSOR_NC1HWC2)) {
    throw Failure(code, quoted(tensor) +
                            " has four dimensions: fmt must be RKNN_TENSOR_NCHW or RKNN_TENSOR_NHWC, not " +
                            std::to_string(format));
  }
  placement.channel_block = model_->description().soc.channel_block(element_bytes(placement.type));
  placement.codes = tensor.quantized() && placement.type == tensor.device_type;
  return placement;
}

void Context::set_inputs(uint32_t count, const rknn_input* inputs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_copying_api();
  const std::vector<Tensor>& tensors = model_->description().inputs;
  if (count && !inputs) throw Failure(RKNN_ERR_PARAM_INVALID, "inputs is null");
  for (uint32_t i = 0; i < count; ++i) {
    const rknn_input& input = inputs[i];
    if (input.index >= tensors.size()) {
      throw Failure(RKNN_ERR_INPUT_INVALID,
                    "index " + std::to_string(input.index) + " of " + std::to_string(tensors.size()) + " inputs");
    }
    const Tensor& tensor = tensors[input.index];
    const Placement from = placement(tensor, raw(input.type), raw(input.fmt), input.pass_through != 0, true);
    const uint64_t needed = placed_bytes(tensor, from);
    if (!input.buf || input.size < needed) {
      throw Failure(RKNN_ERR_INPUT_INVALID, quoted(tensor) + " takes " + std::to_string(needed) + " bytes as " +
                                                type_name(from.type) + ", " +
                                                std::to_string(input.buf ? input.size : 0) + " were given");
    }
    Port& port = inputs_[input.index];
    to_session(tensor, from, input.buf, port.buffer.get());
    port.set = true;
  }
}

void Context::set_core_mask(int64_t mask) {
  const Soc& soc = model_->description().soc;
  if (soc.core_masks.empty()) {
    throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, soc.name + " has a single core: rknn_set_core_mask is not for it");
  }
  const bool known = std::find(soc.core_masks.begin(), soc.core_masks.end(), mask) != soc.core_masks.end();
  if (!known && mask != RKNN_NPU_CORE_AUTO && mask != RKNN_NPU_CORE_ALL) {
    throw Failure(RKNN_ERR_PARAM_INVALID, soc.name + " has no cores for mask " + std::to_string(mask));
  }
}

void Context::run() {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Description& description = model_->description();
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Port& port = inputs_[i];
    if (port.memory) {
      to_session(description.inputs[i], port.placement, port.memory->virt_addr, port.buffer.get());
    } else if (!port.set) {
      throw Failure(RKNN_ERR_INPUT_INVALID, quoted(description.inputs[i]) + " was not set");
    }
  }
  const auto start = std::chrono::steady_clock::now();
  model_->session().run(input_values_.data(), output_values_.data());
  const auto elapsed = std::chrono::steady_clock::now() - start;
  run_microseconds_ = std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
  ran_ = true;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Port& port = outputs_[i];
    if (port.memory) from_session(description.outputs[i], port.placement, port.buffer.get(), port.memory->virt_addr);
  }
}

void Context::get_outputs(uint32_t count, rknn_output* outputs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_copying_api();
  const std::vector<Tensor>& tensors = model_->description().outputs;
  if (!ran_) throw Failure(RKNN_ERR_FAIL, "rknn_run has not been called");
  if (count && !outputs) throw Failure(RKNN_ERR_PARAM_INVALID, "outputs is null");
  if (count > tensors.size()) {
    throw Failure(RKNN_ERR_OUTPUT_INVALID,
                  std::to_string(count) + " outputs asked for, the model has " + std::to_string(tensors.size()));
  }
  for (uint32_t i = 0; i < count; ++i) {
    rknn_output& output = outputs[i];
    // Many programs leave the index unset: then the position counts.
    if (output.index == 0) output.index = i;
    if (output.index >= tensors.size()) {
      throw Failure(RKNN_ERR_OUTPUT_INVALID,
                    "index " + std::to_string(output.index) + " of " + std::to_string(tensors.size()) + " outputs");
    }
    const Tensor& tensor = tensors[output.index];
    const Placement to = placement(tensor, output.want_float ? RKNN_TENSOR_FLOAT32 : raw(tensor.device_type),
                                   RKNN_TENSOR_NCHW, false, false);
    const uint64_t needed = placed_bytes(tensor, to);
    if (!output.is_prealloc) {
      output.buf = std::malloc(needed);
      if (!output.buf) throw std::bad_alloc();
      output.size = static_cast<uint32_t>(needed);
    } else if (!output.buf || output.size < needed) {
      throw Failure(RKNN_ERR_OUTPUT_INVALID, quoted(tensor) + " needs " + std::to_string(needed) + " bytes as " +
                                                 type_name(to.type) + ", " +
                                                 std::to_string(output.buf ? output.size : 0) + " were given");
    }
    from_session(tensor, to, outputs_[output.index].buffer.get(), output.buf);
  }
}

void Context::release_outputs(uint32_t count, rknn_output* outputs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_copying_api();
  if (count && !outputs) throw Failure(RKNN_ERR_PARAM_INVALID, "outputs is null");
  for (uint32_t i = 0; i < count; ++i) {
    if (outputs[i].is_prealloc) continue;
    std::free(outputs[i].buf);
    outputs[i].buf = nullptr;
    outputs[i].size = 0;
  }
}

void Context::bind(const rknn_tensor_mem* memory, const rknn_tensor_attr& attr) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Description& description = model_->description();
  const std::string name(attr.name, strnlen(attr.name, sizeof(attr.name)));
  // rknn_set_io_mem takes inputs and outputs alike: the name tells which, the index is a second witness.
  for (const bool is_input : {true, false}) {
    const std::vector<Tensor>& tensors = is_input ? description.inputs : description.outputs;
    if (attr.index >= tensors.size() || tensors[attr.index].name.substr(0, RKNN_MAX_NAME_LEN - 1) != name) continue;
    const Tensor& tensor = tensors[attr.index];
    const bool pass_through = is_input && attr.pass_through != 0;
    Placement where = placement(tensor, raw(attr.type), raw(attr.fmt), pass_through, is_input);
    where.width_stride = attr.w_stride;
    const uint64_t needed = placed_bytes(tensor, where);
    if (!memory->virt_addr || memory->size < needed) {
      throw Failure(is_input ? RKNN_ERR_INPUT_INVALID : RKNN_ERR_OUTPUT_INVALID,
                    quoted(tensor) + " needs memory of " + std::to_string(needed) + " bytes, this has " +
                        std::to_string(memory->size));
    }
    Port& port = (is_input ? inputs_ : outputs_)[attr.index];
    port.memory = memory;
    port.placement = where;
    return;
  }
  throw Failure(RKNN_ERR_PARAM_INVALID,
                "no input or output " + std::to_string(attr.index) + " is called '" + name + "'");
}

void Context::unbind(const rknn_tensor_mem* memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::vector<Port>* ports : {&inputs_, &outputs_}) {
    for (Port& port : *ports) {
      if (port.memory == memory) port.memory = nullptr;
    }
  }
}

}  // namespace rknn_ep::simulator
