#include "onnxruntime/provider.h"

#include <algorithm>
#include <set>

#include "onnxruntime/ep_context.h"
#include "onnxruntime/status.h"
#include "runtime/library.h"

namespace rknn_ep {

Provider::Provider(const ort::OrtApi& api, std::string ort_version, int minor_version, SessionSettings settings,
                   const ort::OrtLogger* logger)
    : ort::OrtEp{},
      api_(api),
      ort_version_(std::move(ort_version)),
      reader_(api, minor_version),
      settings_(std::move(settings)),
      log_(api, logger) {
  ort_version_supported = ort::kApiVersion;
  GetName = &get_name;
  GetCapability = &get_capability;
  Compile = &compile;
  ReleaseNodeComputeInfos = &release;
  GetCompiledModelCompatibilityInfo = &compatibility;
}

const char* Provider::get_name(const ort::OrtEp*) noexcept { return kProviderName; }

ort::OrtStatus* Provider::get_capability(ort::OrtEp* self, const ort::OrtGraph* graph,
                                         ort::OrtEpGraphSupportInfo* support) noexcept {
  auto& provider = *static_cast<Provider*>(self);
  return as_status(provider.api_, ort::ORT_EP_FAIL, [&] { provider.claim(*graph, *support); });
}

ort::OrtStatus* Provider::compile(ort::OrtEp* self, const ort::OrtGraph** graphs, const ort::OrtNode** fused_nodes,
                                  size_t count, ort::OrtNodeComputeInfo** compute_infos,
                                  ort::OrtNode** context_nodes) noexcept {
  auto& provider = *static_cast<Provider*>(self);
  return as_status(provider.api_, ort::ORT_EP_FAIL, [&] {
    if (!provider.failure_.empty()) throw Failure(provider.failure_);
    std::vector<std::unique_ptr<PartitionKernel>> kernels;
    try {
      for (size_t index = 0; index < count; ++index) {
        ort::OrtNode** const context_node = provider.settings_.context_enable ? &context_nodes[index] : nullptr;
        kernels.push_back(provider.make_kernel(*graphs[index], *fused_nodes[index], context_node));
      }
    } catch (...) {
      for (size_t index = 0; index < count && provider.settings_.context_enable; ++index) {
        if (context_nodes[index] != nullptr) provider.api_.ReleaseNode(context_nodes[index]);
        context_nodes[index] = nullptr;
      }
      throw;
    }
    for (size_t index = 0; index < count; ++index) compute_infos[index] = kernels[index].release();
    // From here on the kernels alone hold the device.
    for (auto& [id, claim] : provider.claims_) claim->executor = nullptr;
  });
}

void Provider::release(ort::OrtEp*, ort::OrtNodeComputeInfo** compute_infos, size_t count) noexcept {
  guarded([&] {
    for (size_t index = 0; index < count; ++index) delete static_cast<PartitionKernel*>(compute_infos[index]);
  });
}

// ONNX Runtime calls it only where something is to be said: get_capability sets it.
ort::OrtStatus* Provider::on_run_start(ort::OrtEp* self, const ort::OrtRunOptions*) noexcept {
  static_cast<Provider*>(self)->say_nothing_runs();
  return nullptr;
}

void Provider::say_nothing_runs() noexcept {
  if (!nothing_said_.exchange(true)) log_.warning(nothing_);
}

const char* Provider::compatibility(ort::OrtEp* self, const ort::OrtGraph*) noexcept {
  auto& provider = *static_cast<Provider*>(self);
  guarded([&] {
    provider.compatibility_ = "format=1;rknn_ep=" RKNN_EP_VERSION;
    std::set<std::string> targets;
    for (const auto& [id, claim] : provider.claims_) targets.insert(claim->interface.target);
    for (const std::string& target : targets) provider.compatibility_ += ";target=" + target;
  });
  return provider.compatibility_.c_str();
}

void Provider::claim(const ort::OrtGraph& graph, ort::OrtEpGraphSupportInfo& support) {
  // Bodies of If and Loop stay with ONNX Runtime; a whole If that we could run would be claimed from outside.
  if (reader_.is_subgraph(graph)) return;
  const std::vector<const ort::OrtNode*> nodes = reader_.nodes(graph);
  if (nodes.empty()) return;
  // ONNX Runtime asks again after it has inlined functions; what was planned the first time then stands.
  if (std::any_of(nodes.begin(), nodes.end(),
                  [&](auto* node) { return reader_.assigned_to(*node) == kProviderName; })) {
    return;
  }
  claims_.clear();
  failure_.clear();
  nothing_.clear();
  OnRunStart = nullptr;
  try {
    std::vector<const ort::OrtNode*> contexts;
    std::copy_if(nodes.begin(), nodes.end(), std::back_inserter(contexts),
                 [&](auto* node) { return is_own_context(reader_, *node); });
    if (contexts.empty()) {
      claim_planned(graph, nodes, support);
    } else {
      claim_contexts(contexts, support);
    }
  } catch (const std::exception& error) {
    // ONNX Runtime ignores errors from here and would go on without us.
    poison(error.what(), nodes, support);
  }
}

void Provider::claim_contexts(const std::vector<const ort::OrtNode*>& contexts, ort::OrtEpGraphSupportInfo& support) {
  settings_.check_options();
  for (const ort::OrtNode* node : contexts) {
    auto claim = std::make_shared<Claim>();
    claim->is_context = true;
    claim->interface.target = reader_.string_attribute(*node, "hardware_architecture").value_or("");
    claims_.emplace(reader_.id(*node), std::move(claim));
    fuse({node}, support);
  }
}

void Provider::claim_planned(const ort::OrtGraph& graph, const std::vector<const ort::OrtNode*>& nodes,
                             ort::OrtEpGraphSupportInfo& support) {
  const Plan plan = ask_planner(graph);
  if (!plan.failure.empty()) throw Failure(plan.failure);
  check_plan(plan, nodes.size());
  // First everything that can fail, then the claims: a claim cannot be taken back.
  std::vector<std::shared_ptr<Claim>> opened;
  for (const PlannedPartition& partition : plan.partitions) {
    try {
      auto claim = std::make_shared<Claim>();
      claim->plan = partition;
      claim->interface = interface_of(partition);
      if (!settings_.context_enable) claim->executor = open(partition, claim->interface);
      opened.push_back(std::move(claim));
    } catch (const std::exception& error) {
      if (settings_.strict()) throw;
      log_.error("partition " + partition.name + " stays on the CPU: " + error.what());
    }
  }
  for (const std::shared_ptr<Claim>& claim : opened) {
    std::vector<const ort::OrtNode*> claimed;
    for (const uint64_t index : claim->plan.nodes) claimed.push_back(nodes[index]);
    fuse(claimed, support);
    for (const ort::OrtNode* node : claimed) claims_.emplace(reader_.id(*node), claim);
  }
  if (plan.nothing.empty()) return;
  nothing_ = plan.nothing;
  if (settings_.context_enable) {
    say_nothing_runs();  // such a session may never run
  } else {
    OnRunStart = &on_run_start;
  }
}

void Provider::poison(const std::string& reason, const std::vector<const ort::OrtNode*>& nodes,
                      ort::OrtEpGraphSupportInfo& support) {
  failure_ = reason;
  if (!claims_.empty()) return;  // something is claimed already: Compile will be called
  for (const ort::OrtNode* node : nodes) {
    if (!reader_.assigned_to(*node).empty() || !reader_.subgraphs(*node).empty()) continue;
    fuse({node}, support);
    return;
  }
  fuse({nodes.front()}, support);
}

void Provider::fuse(const std::vector<const ort::OrtNode*>& nodes, ort::OrtEpGraphSupportInfo& support) const {
  ort::OrtNodeFusionOptions options{};
  options.ort_version_supported = ort::kApiVersion;
  options.drop_constant_initializers = true;
  check(api_, api_.GetEpApi()->EpGraphSupportInfo_AddNodesToFuse(&support, nodes.data(), nodes.size(), &options));
}

std::unique_ptr<PartitionKernel> Provider::make_kernel(const ort::OrtGraph& graph, const ort::OrtNode& fused_node,
                                                       ort::OrtNode** context_node) {
  const std::vector<const ort::OrtNode*> nodes = reader_.nodes(graph);
  const auto found = nodes.empty() ? claims_.end() : claims_.find(reader_.id(*nodes.front()));
  if (found == claims_.end()) throw Failure("ONNX Runtime asks to compile nodes that were never claimed");
  const Claim& claim = *found->second;
  if (claim.is_context) return make_context_kernel(graph, fused_node);
  auto kernel = std::make_unique<PartitionKernel>(
      reader_, claim.interface, claim.executor,
      [this, plan = claim.plan, interface = claim.interface] { return open(plan, interface); });
  kernel->bind_by_name(fused_node);
  if (context_node != nullptr) {
    *context_node = write_context(reader_, graph, fused_node, claim.interface, claim.plan.bundle_path, settings_);
  }
  return kernel;
}

std::unique_ptr<PartitionKernel> Provider::make_context_kernel(const ort::OrtGraph& graph,
                                                               const ort::OrtNode& fused_node) {
  const std::vector<const ort::OrtNode*> nodes = reader_.nodes(graph);
  const ContextPartition partition = read_context(reader_, graph, *nodes.front(), settings_);
  std::shared_ptr<Executor> executor =
      open_rknn_executor(partition.bundle, device_library(settings_.options), settings_.options, &api_);
  Interface interface = executor->interface();
  auto kernel = std::make_unique<PartitionKernel>(reader_, std::move(interface), std::move(executor), nullptr);
  kernel->bind_by_position(fused_node, *nodes.front());
  return kernel;
}

}  // namespace rknn_ep
