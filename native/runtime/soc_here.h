// Which SoC this is, for bundles that serve several.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/executor.h"

namespace rknn_ep {

// The SoC of this machine (its device tree; on the simulator RKNN_EP_SIMULATED_SOC) where the bundle serves it; empty
// where it does not, or this is not known: then the device decides about the one that was planned for.
std::string soc_here(const BundleSource& bundle, bool simulator);

// Of `served` the one that a device tree's `compatible` names: strings that each end in a NUL, from the board's to the
// SoC's. Empty where it names none.
std::string soc_of_device_tree(std::string_view compatible, const std::vector<std::string>& served);

}  // namespace rknn_ep
