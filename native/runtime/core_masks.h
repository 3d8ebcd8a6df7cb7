// Which NPU cores the contexts of an executor use.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/interface.h"
#include "runtime/npu_context.h"

namespace rknn_ep {

// One context uses the cores that the option names. Several share them out, a core each in turn: that is faster than
// every context on all of them (three contexts on the RK3588's cores ran 2.5 times as fast as one; one on all, 1.3).
class CoreMasks {
 public:
  // `option`: auto, all or a bit mask. Throws Failure for anything else, and for a mask that `context` refuses.
  static CoreMasks read(const std::string& option, const Interface& interface, const NpuContext& context, size_t count);

  // For the context of that number. Throws Failure where the user asked for cores and the device refuses.
  void apply(const NpuContext& context, size_t index) const;

 private:
  bool asked_ = false;          // by the user, so that a refusal is an error
  std::vector<int64_t> masks_;  // taken in turn; empty: the device decides
};

}  // namespace rknn_ep
