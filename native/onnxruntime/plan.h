// What the planner answered.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "onnxruntime/log.h"
#include "onnxruntime/planner.h"
#include "runtime/executor.h"

namespace rknn_ep {

struct PlannedPartition {
  std::string name;
  std::vector<uint64_t> nodes;  // indices into the model that was planned
  std::string bundle_path;
  std::string target;
  std::string library_path;
  std::string native_text;
  PythonRun python_run = nullptr;  // null: the library runs it
  PythonClose python_close = nullptr;
  int64_t python_id = 0;
};

struct Plan {
  explicit Plan(const Log& log) : log(log) {}

  const Log& log;
  std::vector<PlannedPartition> partitions;
  std::string failure;  // not empty: fatal
  std::string nothing;  // not empty: there is no partition, in words for users
};

// Null where no planner is registered.
rknn_ep_plan_fn current_planner() noexcept;

}  // namespace rknn_ep
