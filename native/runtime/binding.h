// Memory that device and caller share, for one inference at a time: written and read in place, nothing is copied.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "bundle/key_values.h"
#include "runtime/executor.h"
#include "runtime/io_memory.h"
#include "runtime/npu_context.h"

namespace rknn_ep {

class Binding {
 public:
  // Binds a context of its own. `options` choose type and layout for each tensor, see rknn_ep_binding_open. Throws
  // Failure. What `calls` refer to outlives the binding.
  Binding(std::shared_ptr<NpuContext> context, const Calls& calls, const KeyValues& options);

  const std::vector<IoMemory>& inputs() const { return inputs_; }
  const std::vector<IoMemory>& outputs() const { return outputs_; }

  // Computes what lies in the inputs' memory. Callers take turns. Throws Failure.
  void run();

  // What lies where: see rknn_ep_binding_describe.
  KeyValues describe() const;

 private:
  void bind(std::vector<IoMemory>& memories, bool is_input, const TensorSpec& spec, const KeyValues& options);

  const uint64_t generation_;
  const std::shared_ptr<NpuContext> context_;
  const Calls calls_;
  std::mutex mutex_;
  std::vector<IoMemory> inputs_;
  std::vector<IoMemory> outputs_;
};

// The keys `<prefix>.type`, .format, .dims, .w_stride, .h_stride, .qnt_type, .scale, .zero_point and .bytes.
void describe_attr(KeyValues& values, const std::string& prefix, const rknn_tensor_attr& attr);

}  // namespace rknn_ep
