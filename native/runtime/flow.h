// How the tensors of one inference reach a context and come back: the two ways that rknn_api knows.
#pragma once

#include <memory>
#include <string>

#include "runtime/interface.h"
#include "runtime/library.h"

namespace rknn_ep {

// What every call on a context needs: whose functions, for which partition.
struct Calls {
  const RknnLibrary& library;
  const Interface& interface;
  bool dynamic = false;  // a model of several input shapes: attributes are those of the shape that was set

  // Throws Failure for every code but RKNN_SUCC.
  void check(const char* function, int code) const;
};

// One context's inputs and outputs. Not thread-safe: a context computes one inference at a time.
class Flow {
 public:
  Flow() = default;
  virtual ~Flow() = default;  // before the context is destroyed
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  // As Executor::run and run_inputs.
  virtual void run(const void* const* inputs, void* const* outputs) = 0;
  virtual void run_inputs(const rknn_input* inputs, void* const* outputs) = 0;
};

enum class IoMode {
  kGeneral,   // rknn_inputs_set, rknn_outputs_get: the runtime copies and converts
  kZeroCopy,  // rknn_create_mem, rknn_set_io_mem: tensors are converted straight into and out of the device's memory
};

// Which flow the option `io_mode` (auto, general, zero_copy) means. Throws Failure for another value, and where the SoC
// or the library lacks what it needs.
IoMode choose_io_mode(const std::string& option, const Calls& calls);

// Both references in `calls` outlive the flow. Throws Failure.
std::unique_ptr<Flow> open_flow(IoMode mode, rknn_context context, const Calls& calls);
std::unique_ptr<Flow> open_copying_flow(rknn_context context, const Calls& calls);
std::unique_ptr<Flow> open_zero_copy_flow(rknn_context context, const Calls& calls);

}  // namespace rknn_ep
