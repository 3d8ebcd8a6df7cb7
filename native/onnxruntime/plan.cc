#include "onnxruntime/plan.h"

#include <atomic>

#include "onnxruntime/session_settings.h"
#include "runtime/failure.h"

namespace rknn_ep {
namespace {

std::atomic<rknn_ep_plan_fn> planner{nullptr};

std::string text(const char* value) { return value == nullptr ? std::string() : std::string(value); }

}  // namespace

rknn_ep_plan_fn current_planner() noexcept { return planner.load(); }

}  // namespace rknn_ep

extern "C" {

void rknn_ep_set_planner(rknn_ep_plan_fn planner) { rknn_ep::planner.store(planner); }

void rknn_ep_plan_add_partition(void* plan, const char* name, const uint64_t* nodes, uint64_t node_count,
                                const char* bundle_path, const char* target, const char* library_path,
                                const char* native_text) {
  rknn_ep::guarded([&] {
    rknn_ep::PlannedPartition partition;
    partition.name = rknn_ep::text(name);
    partition.nodes.assign(nodes, nodes + node_count);
    partition.bundle_path = rknn_ep::text(bundle_path);
    partition.target = rknn_ep::text(target);
    partition.library_path = rknn_ep::text(library_path);
    partition.native_text = rknn_ep::text(native_text);
    static_cast<rknn_ep::Plan*>(plan)->partitions.push_back(std::move(partition));
  });
}

void rknn_ep_plan_set_python_executor(void* plan, int64_t id, int (*run)(int64_t, const void* const*, void* const*),
                                      void (*close)(int64_t)) {
  auto& partitions = static_cast<rknn_ep::Plan*>(plan)->partitions;
  if (partitions.empty()) return;
  partitions.back().python_id = id;
  partitions.back().python_run = run;
  partitions.back().python_close = close;
}

void rknn_ep_plan_fail(void* plan, const char* message) {
  rknn_ep::guarded([&] {
    static_cast<rknn_ep::Plan*>(plan)->failure = message == nullptr || *message == '\0' ? "planning failed" : message;
  });
}

void rknn_ep_plan_log(void* plan, int severity, const char* message) {
  static_cast<rknn_ep::Plan*>(plan)->log.write(severity, rknn_ep::text(message));
}

void rknn_ep_plan_nothing(void* plan, const char* message) {
  rknn_ep::guarded([&] { static_cast<rknn_ep::Plan*>(plan)->nothing = rknn_ep::text(message); });
}

const char* rknn_ep_option_names(void) { return rknn_ep::option_names(); }

}  // extern "C"
