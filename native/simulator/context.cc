#include "simulator/context.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>

#include "simulator/failure.h"
#include "simulator/guard.h"

namespace rknn_ep::simulator {
namespace {

constexpr size_t kBufferAlignment = 64;

std::string quoted(const Tensor& tensor) { return "'" + tensor.name + "'"; }

std::unique_ptr<uint8_t[], void (*)(void*)> buffer(uint64_t bytes) {
  const size_t room = (bytes + kBufferAlignment - 1) / kBufferAlignment * kBufferAlignment;
  std::unique_ptr<uint8_t[], void (*)(void*)> made{static_cast<uint8_t*>(std::aligned_alloc(kBufferAlignment, room)),
                                                   std::free};
  if (!made) throw std::bad_alloc();
  return made;
}

}  // namespace

Context::Context(std::shared_ptr<Model> model, uint32_t flags)
    : model_(std::move(model)),
      flags_(flags),
      shape_chosen_(model_->shapes() == 1),
      inputs_(model_->description().inputs.size()),
      outputs_(model_->description().outputs.size()),
      input_values_(inputs_.size()),
      output_values_(outputs_.size()) {
  constexpr uint32_t kNotDynamic =
      RKNN_FLAG_MEM_ALLOC_OUTSIDE | RKNN_FLAG_INTERNAL_ALLOC_OUTSIDE | RKNN_FLAG_SHARE_WEIGHT_MEM;
  if (dynamic() && (flags_ & kNotDynamic)) {
    throw Failure(RKNN_ERR_PARAM_INVALID,
                  "models of several input shapes take no memory from outside and share no weights between contexts "
                  "(Rockchip's guide to dynamic shapes)");
  }
}

Context::~Context() {
  for (void* handed_out : handed_out_) std::free(handed_out);
}

std::shared_ptr<Context> Context::duplicate() const {
  soc().require_large("rknn_dup_context");
  if (dynamic()) {
    throw Failure(RKNN_ERR_PARAM_INVALID,
                  "rknn_dup_context is not for models of several input shapes (Rockchip's guide to dynamic shapes)");
  }
  return std::make_shared<Context>(model_, flags_);
}

Context::Frame Context::make_frame() const {
  const Description& description = current();
  Frame frame;
  frame.values.reserve(description.inputs.size() + description.outputs.size());
  const auto add = [&](const std::vector<Tensor>& tensors, auto& buffers) {
    for (const Tensor& tensor : tensors) {
      buffers.push_back(buffer(tensor.session_bytes()));
      frame.values.emplace_back(model_->session(shape_).engine(), buffers.back().get(), tensor.session_bytes(),
                                tensor.dims, ort_type(tensor.session_type));
    }
  };
  add(description.inputs, frame.inputs);
  add(description.outputs, frame.outputs);
  return frame;
}

void Context::make_buffers() {
  if (!frames_.empty()) return;
  std::vector<Frame> frames;
  frames.push_back(make_frame());
  if (flags_ & RKNN_FLAG_ASYNC_MASK) frames.push_back(make_frame());
  frames_ = std::move(frames);
}

void Context::require_session() const {
  if (flags_ & RKNN_FLAG_COLLECT_MODEL_INFO_ONLY) {
    throw Failure(RKNN_ERR_CTX_INVALID,
                  "this context was made with RKNN_FLAG_COLLECT_MODEL_INFO_ONLY: it only answers "
                  "rknn_query");
  }
  model_->session();
}

// Memory that rknn_init was told would come from the program.
void Context::require_lent_memory() const {
  const bool all = (flags_ & RKNN_FLAG_MEM_ALLOC_OUTSIDE) != 0;
  if (all && !weight_memory_) {
    throw Failure(RKNN_ERR_MALLOC_FAIL,
                  "RKNN_FLAG_MEM_ALLOC_OUTSIDE promised memory, but rknn_set_weight_mem was not "
                  "called");
  }
  if ((all || (flags_ & RKNN_FLAG_INTERNAL_ALLOC_OUTSIDE)) && !internal_memory_) {
    throw Failure(RKNN_ERR_MALLOC_FAIL,
                  "the flags of rknn_init promised memory, but rknn_set_internal_mem was not "
                  "called");
  }
}

void Context::set_inputs(uint32_t count, const rknn_input* inputs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  soc().require_large("rknn_inputs_set");
  require_session();
  require_shape();
  const std::vector<Tensor>& tensors = current().inputs;
  if (count && !inputs) throw Failure(RKNN_ERR_PARAM_INVALID, "inputs is null");
  if (count > tensors.size()) {
    throw Failure(RKNN_ERR_INPUT_INVALID,
                  std::to_string(count) + " inputs given, the model has " + std::to_string(tensors.size()));
  }
  make_buffers();
  if (frames_.size() == 1) finish();
  for (uint32_t i = 0; i < count; ++i) {
    const rknn_input& input = inputs[i];
    if (input.index >= tensors.size()) {
      throw Failure(RKNN_ERR_INPUT_INVALID,
                    "index " + std::to_string(input.index) + " of " + std::to_string(tensors.size()) + " inputs");
    }
    const Tensor& tensor = tensors[input.index];
    Port& port = inputs_[input.index];
    const tensor::Side from =
        placement(tensor, soc(), {raw(input.type), raw(input.fmt), input.pass_through != 0}, true);
    const uint64_t needed = tensor::bytes(from);
    if (!input.buf || input.size < needed) {
      throw Failure(RKNN_ERR_INPUT_INVALID, quoted(tensor) + " takes " + std::to_string(needed) + " bytes as " +
                                                type_name(from.type) + ", " +
                                                std::to_string(input.buf ? input.size : 0) + " were given");
    }
    tensor::Converter(from, session_side(tensor))(input.buf, frame(started_).inputs[input.index].get());
    port = Port{};  // what was bound is so no longer
    port.set = true;
  }
}

void Context::set_core_mask(int64_t mask) { soc().check_core_mask(mask); }

void Context::set_batch_cores(int count) {
  if (!soc().several_cores()) {
    throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH,
                  soc().name + " has a single core: rknn_set_batch_core_num is not for it");
  }
  if (count < 1 || count > soc().cores()) {
    throw Failure(RKNN_ERR_PARAM_INVALID,
                  soc().name + " has " + std::to_string(soc().cores()) + " cores, not " + std::to_string(count));
  }
}

// Waits for a run that is under way and reports what became of it.
void Context::finish() {
  if (!under_way_) return;
  under_way_ = false;
  worker_.wait();
}

void Context::take_inputs(Frame& frame) {
  const Description& description = current();
  for (size_t i = 0; i < inputs_.size(); ++i) {
    Port& port = inputs_[i];
    if (!port.memory && !port.set) {
      throw Failure(RKNN_ERR_INPUT_INVALID, quoted(description.inputs[i]) + " was not set");
    }
    input_values_[i] = port.value ? port.value->get() : frame.values[i].get();
    if (port.memory && !port.value) (*port.convert)(port.memory->data(), frame.inputs[i].get());
  }
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Port& port = outputs_[i];
    output_values_[i] = port.value ? port.value->get() : frame.values[inputs_.size() + i].get();
  }
}

void Context::execute(Frame& frame) {
  const auto start = std::chrono::steady_clock::now();
  model_->session(shape_).run(input_values_.data(), output_values_.data());
  const auto elapsed = std::chrono::steady_clock::now() - start;
  run_microseconds_ = std::chrono::duration_cast<std::chrono::microseconds>(elapsed).count();
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const Port& port = outputs_[i];
    if (port.memory && !port.value) (*port.convert)(frame.outputs[i].get(), port.memory->data());
  }
}

void Context::run(rknn_run_extend* extend) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_session();
  require_shape();
  require_lent_memory();
  make_buffers();
  finish();
  Frame& next = frame(started_);
  take_inputs(next);
  const bool asynchronous = (flags_ & RKNN_FLAG_ASYNC_MASK) || (extend && extend->non_block);
  const int timeout = extend && extend->timeout_ms > 0 ? extend->timeout_ms : -1;
  ++started_;
  if (extend) extend->frame_id = started_;
  if (!asynchronous && timeout < 0) {
    execute(next);
    return;
  }
  worker_.start([this, &next] { execute(next); });
  under_way_ = true;
  if (!asynchronous && !worker_.wait(timeout)) {
    throw Failure(RKNN_ERR_TIMEOUT, "the run takes longer than " + std::to_string(timeout) + " ms; it goes on");
  }
}

void Context::wait(rknn_run_extend* extend) {
  const std::lock_guard<std::mutex> lock(mutex_);
  log_line(Level::kWarning, "rknn_wait", "the API reference lists it as unsupported on every SoC: a board may refuse");
  if (!started_) throw Failure(RKNN_ERR_FAIL, "rknn_run has not been called");
  if (extend) extend->frame_id = started_;
  if (!under_way_) return;
  const int timeout = extend && extend->timeout_ms > 0 ? extend->timeout_ms : -1;
  if (timeout >= 0 && !worker_.wait(timeout)) {
    throw Failure(RKNN_ERR_TIMEOUT, "the run takes longer than " + std::to_string(timeout) + " ms; it goes on");
  }
  finish();
}

void Context::get_outputs(uint32_t count, rknn_output* outputs, rknn_output_extend* extend) {
  const std::lock_guard<std::mutex> lock(mutex_);
  soc().require_large("rknn_outputs_get");
  const std::vector<Tensor>& tensors = current().outputs;
  if (started_ == reshaped_) {
    throw Failure(RKNN_ERR_FAIL, started_ ? "rknn_run has not been called since the input shapes were set"
                                          : "rknn_run has not been called");
  }
  if (count && !outputs) throw Failure(RKNN_ERR_PARAM_INVALID, "outputs is null");
  if (count > tensors.size()) {
    throw Failure(RKNN_ERR_OUTPUT_INVALID,
                  std::to_string(count) + " outputs asked for, the model has " + std::to_string(tensors.size()));
  }
  // Asynchronous contexts give the frame before, which is there; but of the first there is none.
  const bool previous = (flags_ & RKNN_FLAG_ASYNC_MASK) && started_ > reshaped_ + 1;
  if (!previous) finish();
  const uint64_t number = previous ? started_ - 2 : started_ - 1;
  for (uint32_t i = 0; i < count; ++i) {
    rknn_output& output = outputs[i];
    // Many programs leave the index unset: then the position counts.
    if (output.index == 0) output.index = i;
    if (output.index >= tensors.size()) {
      throw Failure(RKNN_ERR_OUTPUT_INVALID,
                    "index " + std::to_string(output.index) + " of " + std::to_string(tensors.size()) + " outputs");
    }
    const Tensor& tensor = tensors[output.index];
    const int type = output.want_float ? RKNN_TENSOR_FLOAT32 : raw(tensor.device_type);
    const tensor::Side to = placement(tensor, soc(), {type, RKNN_TENSOR_NCHW}, false);
    const uint64_t needed = tensor::bytes(to);
    std::unique_ptr<void, void (*)(void*)> made(nullptr, std::free);
    if (!output.is_prealloc) {
      made.reset(std::malloc(needed));
      if (!made) throw std::bad_alloc();
    } else if (!output.buf || output.size < needed) {
      throw Failure(RKNN_ERR_OUTPUT_INVALID, quoted(tensor) + " needs " + std::to_string(needed) + " bytes as " +
                                                 type_name(to.type) + ", " +
                                                 std::to_string(output.buf ? output.size : 0) + " were given");
    }
    const Port& port = outputs_[output.index];
    const void* from = port.value ? port.memory->data() : frame(number).outputs[output.index].get();
    tensor::Converter(session_side(tensor), to)(from, made ? made.get() : output.buf);
    if (made) {
      handed_out_.insert(made.get());
      output.buf = made.release();
      output.size = static_cast<uint32_t>(needed);
    }
  }
  if (extend) extend->frame_id = number + 1;
}

void Context::release_outputs(uint32_t count, rknn_output* outputs) {
  const std::lock_guard<std::mutex> lock(mutex_);
  soc().require_large("rknn_outputs_release");
  if (count && !outputs) throw Failure(RKNN_ERR_PARAM_INVALID, "outputs is null");
  const size_t known = model_->description().outputs.size();
  if (count > known) {
    throw Failure(RKNN_ERR_OUTPUT_INVALID,
                  std::to_string(count) + " outputs given back, the model has " + std::to_string(known));
  }
  for (uint32_t i = 0; i < count; ++i) {
    if (outputs[i].is_prealloc) continue;
    if (handed_out_.erase(outputs[i].buf) == 0) {
      throw Failure(RKNN_ERR_OUTPUT_INVALID,
                    "output " + std::to_string(i) + " was not handed out by rknn_outputs_get, or was released before");
    }
    std::free(outputs[i].buf);
    outputs[i].buf = nullptr;
    outputs[i].size = 0;
  }
}

void Context::bind(const std::shared_ptr<Memory>& memory, const rknn_tensor_attr& attr) {
  const std::lock_guard<std::mutex> lock(mutex_);
  require_session();
  require_shape();
  const Description& description = current();
  const std::string name(attr.name, strnlen(attr.name, sizeof(attr.name)));
  // rknn_set_io_mem takes inputs and outputs alike: the name tells which, the index is a second witness.
  for (const bool is_input : {true, false}) {
    const std::vector<Tensor>& tensors = is_input ? description.inputs : description.outputs;
    if (attr.index >= tensors.size() || tensors[attr.index].name.substr(0, RKNN_MAX_NAME_LEN - 1) != name) continue;
    const Tensor& tensor = tensors[attr.index];
    Port& port = (is_input ? inputs_ : outputs_)[attr.index];
    if (under_way_ && worker_.busy()) {
      throw Failure(RKNN_ERR_PARAM_INVALID, quoted(tensor) + " cannot be bound while a run is under way: wait for it");
    }
    const bool blocks = raw(attr.fmt) == RKNN_TENSOR_NC1HWC2 && attr.n_dims == 5;
    const tensor::Side side = placement(tensor, soc(),
                                        {raw(attr.type), raw(attr.fmt), is_input && attr.pass_through != 0,
                                         attr.w_stride, attr.h_stride, blocks ? attr.dims[4] : 0},
                                        is_input);
    const uint64_t needed = tensor::bytes(side);
    if (memory->size() < needed) {
      throw Failure(is_input ? RKNN_ERR_INPUT_INVALID : RKNN_ERR_OUTPUT_INVALID,
                    quoted(tensor) + " needs memory of " + std::to_string(needed) + " bytes, this has " +
                        std::to_string(memory->size()));
    }
    finish();
    Port bound;
    const tensor::Side inside = session_side(tensor);
    bound.convert = is_input ? std::make_unique<tensor::Converter>(side, inside)
                             : std::make_unique<tensor::Converter>(inside, side);
    const bool aligned = reinterpret_cast<uintptr_t>(memory->data()) % kBufferAlignment == 0;
    if (bound.convert->identical() && aligned) {
      bound.value = std::make_unique<Value>(model_->session(shape_).engine(), memory->data(), tensor.session_bytes(),
                                            tensor.dims, ort_type(tensor.session_type));
    }
    bound.memory = memory;
    port = std::move(bound);
    return;
  }
  throw Failure(RKNN_ERR_PARAM_INVALID,
                "no input or output " + std::to_string(attr.index) + " is called '" + name + "'");
}

void Context::unbind(const Memory& memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (std::vector<Port>* ports : {&inputs_, &outputs_}) {
    for (Port& port : *ports) {
      if (port.memory.get() != &memory) continue;
      finish();
      port = Port{};
    }
  }
  if (weight_memory_.get() == &memory) weight_memory_ = nullptr;
  if (internal_memory_.get() == &memory) internal_memory_ = nullptr;
}

void Context::set_weight_memory(std::shared_ptr<Memory> memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t needed = model_->description().weight_bytes;
  if (memory->size() < needed) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "the weights take " + std::to_string(needed) + " bytes, this memory has " +
                                              std::to_string(memory->size()));
  }
  weight_memory_ = std::move(memory);
}

void Context::set_internal_memory(std::shared_ptr<Memory> memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t needed = model_->description().internal_bytes;
  if (memory->size() < needed) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "intermediate tensors take " + std::to_string(needed) +
                                              " bytes, this memory has " + std::to_string(memory->size()));
  }
  internal_memory_ = std::move(memory);
}

void Context::register_custom_ops(const rknn_custom_op* ops, uint32_t count) {
  const std::lock_guard<std::mutex> lock(mutex_);
  soc().require_large("rknn_register_custom_ops");
  if (!ops || count == 0) throw Failure(RKNN_ERR_PARAM_INVALID, "no custom operators are given");
  for (uint32_t i = 0; i < count; ++i) {
    const rknn_custom_op& op = ops[i];
    const std::string type(op.op_type, strnlen(op.op_type, sizeof(op.op_type)));
    if (type.empty() || type.size() == sizeof(op.op_type)) {
      throw Failure(RKNN_ERR_PARAM_INVALID, "custom operator " + std::to_string(i) + " has no proper op_type");
    }
    if (raw(op.target) != RKNN_TARGET_TYPE_CPU) {
      throw Failure(RKNN_ERR_PARAM_INVALID,
                    "custom operator '" + type + "' is not for the CPU: others are not simulated");
    }
    if (!op.compute) throw Failure(RKNN_ERR_PARAM_INVALID, "custom operator '" + type + "' has no compute callback");
  }
  model_->register_custom_ops(ops, count);
}

}  // namespace rknn_ep::simulator
