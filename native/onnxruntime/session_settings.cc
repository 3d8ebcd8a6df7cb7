#include "onnxruntime/session_settings.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <iterator>
#include <memory>
#include <numeric>
#include <string_view>
#include <vector>

#include "onnxruntime/status.h"

namespace rknn_ep {
namespace {

constexpr char kPrefix[] = "ep.rknnexecutionprovider.";

// The same names as rknn_ep/options.py; a test compares the two.
constexpr char kOptionNames[] =
    "calibration\ncalibration_method\ncache_dir\ncolor\ncontexts\ncore_mask\ndevice\nexclude_nodes\nexclude_ops\n"
    "input_shapes\nio_mode\nkeep_failing\nmean\nmin_partition_macs\nper_channel\nprecision\nquantizer\nreport\nresize\n"
    "simulation\nsimulation_threads\nstd\nstrict\ntarget";

size_t edit_distance(const std::string& left, const std::string& right) {
  std::vector<size_t> row(right.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= left.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= right.size(); ++j) {
      const size_t replaced = diagonal + (left[i - 1] == right[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

std::vector<std::string> names() {
  std::vector<std::string> found;
  const std::string all = kOptionNames;
  for (size_t begin = 0; begin <= all.size();) {
    const size_t end = std::min(all.find('\n', begin), all.size());
    found.push_back(all.substr(begin, end - begin));
    begin = end + 1;
  }
  return found;
}

// Words of a fixed choice, as rknn_ep/options.py reads them: in any case.
std::string choice(const std::string& key, std::string value) {
  static constexpr std::string_view kChoices[] = {"core_mask", "io_mode", "simulation", "target"};
  if (std::find(std::begin(kChoices), std::end(kChoices), key) != std::end(kChoices)) {
    std::transform(value.begin(), value.end(), value.begin(), [](unsigned char one) { return std::tolower(one); });
  }
  return value;
}

bool is_on(const std::string& value) { return value == "1" || value == "true" || value == "True" || value == "on"; }

}  // namespace

SessionSettings SessionSettings::read(const ort::OrtApi& api, const ort::OrtSessionOptions& options) {
  ort::OrtKeyValuePairs* pairs = nullptr;
  check(api, api.GetSessionOptionsConfigEntries(&options, &pairs));
  const std::shared_ptr<ort::OrtKeyValuePairs> owner(pairs, [&api](auto* one) { api.ReleaseKeyValuePairs(one); });
  const char* const* keys = nullptr;
  const char* const* values = nullptr;
  size_t count = 0;
  api.GetKeyValuePairs(pairs, &keys, &values, &count);
  SessionSettings settings;
  for (size_t index = 0; index < count; ++index) {
    const std::string key = keys[index];
    const std::string value = values[index];
    if (key.compare(0, std::strlen(kPrefix), kPrefix) == 0) {
      const std::string name = key.substr(std::strlen(kPrefix));
      settings.options.set(name, choice(name, value));
    }
    if (key == "ep.context_enable") settings.context_enable = value == "1";
    if (key == "ep.context_embed_mode") settings.context_embed = value == "1";
    if (key == "ep.context_file_path") settings.context_path = value;
    if (key == "session.model_external_initializers_file_folder_path") settings.external_folder = value;
    if (key == "session.disable_cpu_ep_fallback") settings.disable_cpu_fallback = value == "1";
  }
  return settings;
}

bool SessionSettings::strict() const { return is_on(options.get("strict", "0")) || disable_cpu_fallback; }

void SessionSettings::check_options() const {
  const std::vector<std::string> valid = names();
  for (const auto& [key, value] : options.all()) {
    if (key.find('.') != std::string::npos || std::find(valid.begin(), valid.end(), key) != valid.end()) continue;
    const auto nearest = std::min_element(valid.begin(), valid.end(), [&](const auto& left, const auto& right) {
      return edit_distance(key, left) < edit_distance(key, right);
    });
    throw Failure("unknown option '" + key + "': did you mean '" + *nearest + "'?");
  }
  const std::string simulation = options.get("simulation", "fast");
  if (simulation != "fast" && simulation != "exact") {
    throw Failure("option 'simulation' does not take '" + simulation + "': Valid: exact, fast.");
  }
}

const char* option_names() { return kOptionNames; }

}  // namespace rknn_ep
