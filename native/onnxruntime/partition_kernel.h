// One partition inside a session: what ONNX Runtime calls to compute a fused node.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "abi/ort_plugin.h"
#include "onnxruntime/graph_reader.h"
#include "runtime/executor.h"

namespace rknn_ep {

class PartitionKernel final : public ort::OrtNodeComputeInfo {
 public:
  using Open = std::function<std::shared_ptr<Executor>()>;

  // `open` is called at the first Compute where `executor` is null: a session that only writes an EPContext model
  // needs no device.
  PartitionKernel(const GraphReader& reader, Interface interface, std::shared_ptr<Executor> executor, Open open);

  // Says which of the fused node's inputs and outputs are the partition's. Throws Failure where they do not fit.
  void bind_by_name(const ort::OrtNode& fused_node);
  // An EPContext node has the bundle's inputs in the bundle's order, under whatever names; ONNX Runtime's fused node
  // has each name once.
  void bind_by_position(const ort::OrtNode& fused_node, const ort::OrtNode& context_node);

  const Interface& interface() const { return interface_; }

 private:
  static ort::OrtStatus* create_state(ort::OrtNodeComputeInfo*, ort::OrtNodeComputeContext*, void** state) noexcept;
  static ort::OrtStatus* compute(ort::OrtNodeComputeInfo* self, void*, ort::OrtKernelContext* context) noexcept;
  static void release_state(ort::OrtNodeComputeInfo*, void*) noexcept;

  using Positions = std::unordered_map<std::string, size_t>;
  Positions positions(const std::vector<const ort::OrtValueInfo*>& values) const;
  void run(ort::OrtKernelContext& context);
  const void* input(ort::OrtKernelContext& context, const TensorSpec& spec, size_t position) const;
  Executor& executor();
  [[noreturn]] void refuse_shape(const TensorSpec& spec, const int64_t* dims, size_t count) const;

  const GraphReader& reader_;
  const Interface interface_;
  const Open open_;
  std::mutex mutex_;
  std::shared_ptr<Executor> owner_;
  std::atomic<Executor*> executor_;
  std::vector<size_t> input_positions_;   // in the fused node, for each input of the partition
  std::vector<size_t> output_positions_;  // likewise; kUnwanted where ONNX Runtime does not want an output

  static constexpr size_t kUnwanted = static_cast<size_t>(-1);
};

}  // namespace rknn_ep
