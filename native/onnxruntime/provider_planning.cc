// The provider's dealings with the planner.
#include <set>

#include "onnxruntime/provider.h"
#include "onnxruntime/serializer.h"
#include "runtime/failure.h"

namespace rknn_ep {

Plan Provider::ask_planner(const ort::OrtGraph& graph) const {
  const rknn_ep_plan_fn planner = current_planner();
  if (planner == nullptr) {
    throw Failure(
        "this model was not compiled, and this process has no planner to do it\n"
        "  In Python call rknn_ep.register(); elsewhere compile the model first: rknn-ep compile model.onnx -o "
        "model_ctx.onnx");
  }
  KeyValues options = settings_.options;
  options.set("ort.version", ort_version_);
  options.set("ort.context_enable", settings_.context_enable ? "1" : "0");
  options.set("ort.disable_cpu_fallback", settings_.disable_cpu_fallback ? "1" : "0");
  options.set("ort.model_path", reader_.model_path(graph));
  const std::string model = serialize_graph(reader_, graph);
  Plan plan(log_);
  const int code = planner(&plan, model.data(), model.size(), options.text().c_str());
  if (code != 0 && plan.failure.empty()) plan.failure = "the planner failed without a reason";
  return plan;
}

void Provider::check_plan(const Plan& plan, size_t node_count) const {
  std::set<uint64_t> taken;
  for (const PlannedPartition& partition : plan.partitions) {
    if (partition.nodes.empty()) throw Failure("the plan's partition " + partition.name + " has no nodes");
    for (const uint64_t node : partition.nodes) {
      if (node >= node_count || !taken.insert(node).second) {
        throw Failure("the plan's partition " + partition.name + " names node " + std::to_string(node) + " of " +
                      std::to_string(node_count) + ", which does not exist or is in another partition");
      }
    }
  }
}

Interface Provider::interface_of(const PlannedPartition& partition) const {
  if (!partition.native_text.empty()) return read_interface(partition.native_text, "partition " + partition.name);
  return BundleSource::open_file(partition.bundle_path).interface();
}

std::shared_ptr<Executor> Provider::open(const PlannedPartition& partition, const Interface& interface) const {
  if (partition.python_run != nullptr) {
    return open_python_executor(interface, partition.python_id, partition.python_run, partition.python_close);
  }
  KeyValues options = settings_.options;
  options.set("target",
              partition.target);  // as planning understood it: names are matched in any case, and may be aliases
  return open_rknn_executor(BundleSource::open_file(partition.bundle_path), partition.library_path, options, &api_);
}

}  // namespace rknn_ep
