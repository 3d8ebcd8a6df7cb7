// RKNN_QUERY_PERF_DETAIL: what each layer took, as a table in text.
#pragma once

#include <string>

namespace rknn_ep::simulator {

// Reads the file that ONNX Runtime wrote about one run, and removes it.
std::string layer_table(const std::string& profile, const std::string& soc);

}  // namespace rknn_ep::simulator
