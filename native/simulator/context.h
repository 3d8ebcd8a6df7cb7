// What an rknn_context stands for: a model with buffers and bindings of its own. Calls on one context are serialised;
// different contexts run at the same time.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "simulator/convert.h"
#include "simulator/model.h"

namespace rknn_ep::simulator {

class Context {
 public:
  explicit Context(std::shared_ptr<Model> model);
  // A second context on the same weights.
  std::shared_ptr<Context> duplicate() const;

  void query(int command, void* info, uint32_t size);
  void set_inputs(uint32_t count, const rknn_input* inputs);
  void set_core_mask(int64_t mask);
  void run();
  void get_outputs(uint32_t count, rknn_output* outputs);
  void release_outputs(uint32_t count, rknn_output* outputs);
  void bind(const rknn_tensor_mem* memory, const rknn_tensor_attr& attr);
  // Forgets bindings to memory that is being destroyed.
  void unbind(const rknn_tensor_mem* memory);

 private:
  // One input or output: the session's buffer and, in the zero-copy flow, the program's.
  struct Port {
    std::unique_ptr<uint8_t[], void (*)(void*)> buffer{nullptr, nullptr};
    bool set = false;  // inputs: holds data for the next run
    const rknn_tensor_mem* memory = nullptr;
    Placement placement;
  };

  std::vector<Port> make_ports(const std::vector<Tensor>& tensors, std::vector<ort::OrtValue*>& values);
  Placement placement(const Tensor& tensor, int type, int format, bool pass_through, bool is_input) const;
  void require_copying_api() const;

  std::mutex mutex_;
  std::shared_ptr<Model> model_;
  std::vector<Value> owned_values_;
  std::vector<ort::OrtValue*> input_values_;
  std::vector<ort::OrtValue*> output_values_;
  std::vector<Port> inputs_;
  std::vector<Port> outputs_;
  bool ran_ = false;
  int64_t run_microseconds_ = 0;
};

}  // namespace rknn_ep::simulator
