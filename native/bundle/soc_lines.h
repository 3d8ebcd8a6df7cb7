// native.txt of a bundle that serves several SoCs: the lines are those of `target`; what is otherwise on the SoCs
// named in `also` stands under their names (rk3576.core_masks).
#pragma once

#include <string>
#include <vector>

#include "bundle/key_values.h"

namespace rknn_ep {

// The SoCs that the lines serve, the one that was planned for first.
std::vector<std::string> served_socs(const KeyValues& lines);

// The same, for messages: "rk3588, rk3576"; "no known target" where the lines name none.
std::string served_socs_text(const KeyValues& lines);

bool serves(const KeyValues& lines, const std::string& soc);

// The lines as they hold on one of the SoCs served.
KeyValues lines_of_soc(const KeyValues& lines, const std::string& soc);

}  // namespace rknn_ep
