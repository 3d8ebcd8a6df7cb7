// What an rknn_context stands for: a model with buffers and bindings of its own. Calls on one context are serialised;
// different contexts run at the same time.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "simulator/memory.h"
#include "simulator/model.h"
#include "simulator/placement.h"
#include "simulator/worker.h"

namespace rknn_ep::simulator {

class Context {
 public:
  // `flags` are those of rknn_init.
  Context(std::shared_ptr<Model> model, uint32_t flags);
  // Takes back what the program never released.
  ~Context();
  // A second context on the same weights.
  std::shared_ptr<Context> duplicate() const;

  const std::shared_ptr<Model>& model() const { return model_; }
  const Soc& soc() const { return model_->description().soc; }
  bool dynamic() const { return model_->shapes() > 1; }

  void query(int command, void* info, uint32_t size);
  void set_inputs(uint32_t count, const rknn_input* inputs);
  void set_core_mask(int64_t mask);
  void set_batch_cores(int count);
  // Of all inputs, or with `alone` of one.
  void set_input_shapes(uint32_t count, const rknn_tensor_attr* attributes, bool alone);
  void run(rknn_run_extend* extend);
  void wait(rknn_run_extend* extend);
  void get_outputs(uint32_t count, rknn_output* outputs, rknn_output_extend* extend);
  void release_outputs(uint32_t count, rknn_output* outputs);
  void bind(const std::shared_ptr<Memory>& memory, const rknn_tensor_attr& attr);
  // Forgets bindings to memory that is being destroyed.
  void unbind(const Memory& memory);
  void set_weight_memory(std::shared_ptr<Memory> memory);
  void set_internal_memory(std::shared_ptr<Memory> memory);
  void register_custom_ops(const rknn_custom_op* ops, uint32_t count);

 private:
  // One input or output in the zero-copy flow: the program's memory and the way to it.
  struct Port {
    std::shared_ptr<Memory> memory;  // null: the copying flow
    std::unique_ptr<tensor::Converter> convert;
    std::unique_ptr<Value> value;  // where the memory is as the session wants it: nothing is converted
    bool set = false;              // inputs: holds data for the next run
  };

  // The session's own buffers for one run. Asynchronous contexts have two, that turn about.
  struct Frame {
    std::vector<std::unique_ptr<uint8_t[], void (*)(void*)>> inputs, outputs;
    std::vector<Value> values;  // inputs, then outputs
  };

  // What the next run computes.
  const Description& current() const { return model_->description(shape_); }
  void require_shape() const;
  bool takes(size_t shape, const rknn_tensor_attr& wish) const;
  size_t find_shape(uint32_t count, const rknn_tensor_attr* attributes, bool alone) const;
  void choose_shape(size_t shape);
  void fill_range(rknn_input_range& range) const;
  Frame make_frame() const;
  Frame& frame(uint64_t number) { return frames_[number % frames_.size()]; }
  void require_session() const;
  void require_lent_memory() const;
  void make_buffers();
  void take_inputs(Frame& frame);
  void execute(Frame& frame);
  void finish();
  void fill_perf_detail(rknn_perf_detail& detail);

  std::mutex mutex_;
  std::shared_ptr<Model> model_;
  const uint32_t flags_;
  size_t shape_ = 0;
  bool shape_chosen_;          // by the program; models of one shape need no choice
  std::vector<Frame> frames_;  // empty until they are needed
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
  std::vector<ort::OrtValue*> input_values_, output_values_;
  uint64_t started_ = 0;    // runs so far; their numbers are the frames' ids
  uint64_t reshaped_ = 0;   // how many of them were of another shape
  bool under_way_ = false;  // the last one is with the worker
  int64_t run_microseconds_ = 0;
  std::set<void*> handed_out_;  // by rknn_outputs_get
  std::shared_ptr<Memory> weight_memory_, internal_memory_;
  std::string perf_detail_;
  Worker worker_;  // the last member: it ends first
};

}  // namespace rknn_ep::simulator
