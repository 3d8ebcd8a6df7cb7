#include "runtime/soc_here.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "bundle/soc_lines.h"

namespace rknn_ep {
namespace {

constexpr std::string_view kVendor = "rockchip,";

// The same die, sold with fewer pins or fewer cores: as rknn_ep_board/soc.py has it.
std::string compiled_as(std::string_view name) {
  for (const char* one : {"rk3588s", "rk3583", "rk3582"}) {
    if (name == one) return "rk3588";
  }
  return std::string(name);
}

}  // namespace

std::string soc_of_device_tree(std::string_view compatible, const std::vector<std::string>& served) {
  std::string found;
  while (!compatible.empty()) {
    const size_t end = std::min(compatible.find('\0'), compatible.size());
    const std::string_view entry = compatible.substr(0, end);
    compatible.remove_prefix(std::min(end + 1, compatible.size()));
    if (entry.substr(0, kVendor.size()) != kVendor) continue;
    const std::string name = compiled_as(entry.substr(kVendor.size()));
    if (std::find(served.begin(), served.end(), name) != served.end()) found = name;  // the SoC stands last
  }
  return found;
}

std::string soc_here(const BundleSource& bundle, bool simulator) {
  const auto text = bundle.archive->find("native.txt");
  if (!text) return {};
  const std::vector<std::string> served = served_socs(KeyValues(text->text()));
  if (simulator) {
    const char* soc = std::getenv("RKNN_EP_SIMULATED_SOC");
    return soc != nullptr && std::find(served.begin(), served.end(), soc) != served.end() ? soc : "";
  }
  std::ifstream file("/proc/device-tree/compatible", std::ios::binary);
  const std::string compatible((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return soc_of_device_tree(compatible, served);
}

}  // namespace rknn_ep
