// The execution provider of one session: GetCapability plans (everything that can fail happens there), Compile binds.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "abi/ort_plugin.h"
#include "onnxruntime/graph_reader.h"
#include "onnxruntime/log.h"
#include "onnxruntime/partition_kernel.h"
#include "onnxruntime/plan.h"
#include "onnxruntime/session_settings.h"

namespace rknn_ep {

inline constexpr char kProviderName[] = "RKNNExecutionProvider";

class Provider final : public ort::OrtEp {
 public:
  Provider(const ort::OrtApi& api, std::string ort_version, int minor_version, SessionSettings settings,
           const ort::OrtLogger* logger);

 private:
  // A partition that was claimed.
  struct Claim {
    PlannedPartition plan;
    Interface interface;
    std::shared_ptr<Executor> executor;  // null for EPContext nodes and where the session only writes a model
    bool is_context = false;
  };

  static const char* get_name(const ort::OrtEp*) noexcept;
  static ort::OrtStatus* get_capability(ort::OrtEp*, const ort::OrtGraph*, ort::OrtEpGraphSupportInfo*) noexcept;
  static ort::OrtStatus* compile(ort::OrtEp*, const ort::OrtGraph**, const ort::OrtNode**, size_t,
                                 ort::OrtNodeComputeInfo**, ort::OrtNode**) noexcept;
  static void release(ort::OrtEp*, ort::OrtNodeComputeInfo**, size_t) noexcept;
  static ort::OrtStatus* on_run_start(ort::OrtEp*, const ort::OrtRunOptions*) noexcept;
  static const char* compatibility(ort::OrtEp*, const ort::OrtGraph*) noexcept;

  void claim(const ort::OrtGraph& graph, ort::OrtEpGraphSupportInfo& support);
  void claim_contexts(const std::vector<const ort::OrtNode*>& contexts, ort::OrtEpGraphSupportInfo& support);
  void claim_planned(const ort::OrtGraph& graph, const std::vector<const ort::OrtNode*>& nodes,
                     ort::OrtEpGraphSupportInfo& support);
  // Claims one node so that Compile is called and can fail the session with the reason.
  void poison(const std::string& reason, const std::vector<const ort::OrtNode*>& nodes,
              ort::OrtEpGraphSupportInfo& support);
  void say_nothing_runs() noexcept;
  void fuse(const std::vector<const ort::OrtNode*>& nodes, ort::OrtEpGraphSupportInfo& support) const;

  Plan ask_planner(const ort::OrtGraph& graph) const;
  void check_plan(const Plan& plan, size_t node_count) const;
  std::shared_ptr<Executor> open(const PlannedPartition& partition, const Interface& interface) const;
  Interface interface_of(const PlannedPartition& partition) const;

  std::unique_ptr<PartitionKernel> make_kernel(const ort::OrtGraph& graph, const ort::OrtNode& fused_node,
                                               ort::OrtNode** context_node);
  std::unique_ptr<PartitionKernel> make_context_kernel(const ort::OrtGraph& graph, const ort::OrtNode& fused_node);

  const ort::OrtApi& api_;
  const std::string ort_version_;
  const GraphReader reader_;
  const SessionSettings settings_;
  const Log log_;
  std::string failure_;                                        // not empty: poisoned
  std::unordered_map<size_t, std::shared_ptr<Claim>> claims_;  // by the id of every node
  std::string nothing_;  // not empty: the last planning found nothing for the NPU, in words for users
  std::atomic<bool> nothing_said_{false};
  std::string compatibility_;
};

}  // namespace rknn_ep
