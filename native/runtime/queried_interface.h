// The border of a model that only the device's runtime can read (.rknn), from what rknn_query says.
#pragma once

#include <string>
#include <vector>

#include "runtime/interface.h"
#include "runtime/npu_context.h"

namespace rknn_ep {

// Pictures are NCHW at the border and real numbers float32. `name` stands for the partition's. Throws Failure.
// One for each choice of input shapes; asking for them sets each, the last of them stays.
std::vector<Interface> query_interfaces(const NpuContext& context, const std::string& name);

}  // namespace rknn_ep
