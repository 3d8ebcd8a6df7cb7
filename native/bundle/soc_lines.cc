#include "bundle/soc_lines.h"

#include <algorithm>

namespace rknn_ep {

std::vector<std::string> served_socs(const KeyValues& lines) {
  std::vector<std::string> found;
  std::string rest = lines.get("target") + "," + lines.get("also");
  while (!rest.empty()) {
    const size_t comma = std::min(rest.find(','), rest.size());
    if (comma != 0) found.push_back(rest.substr(0, comma));
    rest.erase(0, comma + 1);
  }
  return found;
}

std::string served_socs_text(const KeyValues& lines) {
  std::string text;
  for (const std::string& soc : served_socs(lines)) text += (text.empty() ? "" : ", ") + soc;
  return text.empty() ? "no known target" : text;
}

bool serves(const KeyValues& lines, const std::string& soc) {
  const std::vector<std::string> socs = served_socs(lines);
  return std::find(socs.begin(), socs.end(), soc) != socs.end();
}

KeyValues lines_of_soc(const KeyValues& lines, const std::string& soc) {
  KeyValues chosen = lines;
  if (soc == lines.get("target")) return chosen;
  chosen.set("target", soc);
  for (const char* key : {"cores", "core_masks", "copying_api"}) {
    if (const std::string own = soc + "." + key; lines.has(own)) chosen.set(key, lines.get(own));
  }
  return chosen;
}

}  // namespace rknn_ep
