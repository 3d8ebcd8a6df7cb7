#include "simulator/profile.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

namespace rknn_ep::simulator {
namespace {

// The value of "key" : "text" or "key" : number in one line of the file; it writes an event a line.
std::string value_of(const std::string& line, const std::string& key) {
  size_t at = line.find("\"" + key + "\"");
  if (at == std::string::npos) return {};
  at = line.find(':', at + key.size() + 2);
  if (at == std::string::npos) return {};
  at = line.find_first_not_of(" ", at + 1);
  if (at == std::string::npos) return {};
  if (line[at] == '"') {
    const size_t end = line.find('"', at + 1);
    return line.substr(at + 1, end - at - 1);
  }
  return line.substr(at, line.find_first_of(",} ", at) - at);
}

struct Layer {
  std::string name, op_type;
  long microseconds = 0;
};

}  // namespace

std::string layer_table(const std::string& profile, const std::string& soc) {
  constexpr char kSuffix[] = "_kernel_time";
  std::vector<Layer> layers;
  long total = 0;
  {
    std::ifstream file(profile);
    for (std::string line; std::getline(file, line);) {
      const std::string name = value_of(line, "name");
      const size_t end = name.rfind(kSuffix);
      if (value_of(line, "cat") != "Node" || end == std::string::npos) continue;
      layers.push_back({name.substr(0, end), value_of(line, "op_name"), std::atol(value_of(line, "dur").c_str())});
      total += layers.back().microseconds;
    }
  }
  ::unlink(profile.c_str());
  char line[512];
  std::string text = "rknn_ep simulator of " + soc + ": times of this PC, of one more run of the last inputs\n";
  std::snprintf(line, sizeof(line), "%-5s %-24s %10s  %s\n", "ID", "OpType", "Time(us)", "Name");
  text += line;
  for (size_t i = 0; i < layers.size(); ++i) {
    std::snprintf(line, sizeof(line), "%-5zu %-24.64s %10ld  %.256s\n", i, layers[i].op_type.c_str(),
                  layers[i].microseconds, layers[i].name.c_str());
    text += line;
  }
  std::snprintf(line, sizeof(line), "Total Operator Elapsed Time(us): %ld\n", total);
  return text + line;
}

}  // namespace rknn_ep::simulator
