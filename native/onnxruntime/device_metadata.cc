#include "onnxruntime/device_metadata.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <vector>

#include "bundle/key_values.h"
#include "onnxruntime/planner.h"
#include "runtime/failure.h"

namespace rknn_ep {
namespace {

std::mutex mutex;
KeyValues metadata;

std::string content(const std::string& absolute) {
  const char* const root = std::getenv("RKNN_EP_BOARD_ROOT");  // a recorded tree, as the plugin `board` reads it
  std::ifstream file((root == nullptr ? "" : root) + absolute, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
}

std::vector<std::string> device_tree_strings(const std::string& property) {
  const std::string text = content("/proc/device-tree/" + property);
  std::vector<std::string> strings;
  for (size_t begin = 0; begin < text.size();) {
    const std::string one = text.c_str() + begin;
    begin += one.size() + 1;
    if (!one.empty()) strings.push_back(one);
  }
  return strings;
}

// "0.9.8" of a line such as "RKNPU driver: v0.9.8"; empty where there is none.
std::string version_in(const std::string& text) {
  const size_t begin = text.find_first_of("0123456789");
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_first_not_of("0123456789.", begin) - begin);
}

// For programs that register the library themselves, of which no plugin tells anything: what one look at the device
// tree and the driver shows. The rest needs the vendor's runtime, which is not loaded before a session asks for it.
KeyValues seen_from_here() {
  constexpr char kVendor[] = "rockchip,";
  KeyValues seen;
  for (const std::string& entry : device_tree_strings("compatible")) {  // the SoC stands last
    if (entry.rfind(kVendor, 0) == 0) seen.set("soc", entry.substr(sizeof(kVendor) - 1));
  }
  seen.set("device", seen.has("soc") ? "board" : "simulator");
  if (!seen.has("soc")) return seen;
  const std::vector<std::string> model = device_tree_strings("model");
  if (!model.empty()) seen.set("board", model.front());
  for (const char* file : {"/sys/module/rknpu/version", "/sys/kernel/debug/rknpu/version", "/proc/rknpu/version"}) {
    const std::string version = version_in(content(file));
    if (version.empty()) continue;
    seen.set("driver_version", version);
    break;
  }
  return seen;
}

}  // namespace

ort::OrtKeyValuePairs* device_metadata(const ort::OrtApi& api) {
  const std::lock_guard<std::mutex> lock(mutex);
  const KeyValues shown = metadata.all().empty() ? seen_from_here() : metadata;
  ort::OrtKeyValuePairs* pairs = nullptr;
  api.CreateKeyValuePairs(&pairs);
  for (const auto& [key, value] : shown.all()) api.AddKeyValuePair(pairs, key.c_str(), value.c_str());
  return pairs;
}

}  // namespace rknn_ep

void rknn_ep_set_device_metadata(const char* key_values) {
  rknn_ep::guarded([&] {
    rknn_ep::KeyValues given(key_values == nullptr ? "" : key_values);
    const std::lock_guard<std::mutex> lock(rknn_ep::mutex);
    rknn_ep::metadata = std::move(given);
  });
}
