#include "simulator/companion.h"

#include <dirent.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "abi/rknn_api.h"
#include "bundle/key_values.h"
#include "simulator/failure.h"
#include "simulator/log.h"
#include "simulator/sha256.h"

namespace rknn_ep::simulator {
namespace {

constexpr char kEnding[] = ".rknnctx";
constexpr char kMark[] = "rknn_ep:1 ";
constexpr size_t kFlatbuffer = 64;      // where it begins in a .rknn
constexpr uint64_t kCustomString = 11;  // slot of the root table

// What our compiler wrote: which partition, and the digest of simulation.onnx followed by simulation.data.
struct Mark {
  std::string partition, digest;
};

template <typename T>
bool read(Bytes bytes, uint64_t at, T& value) {
  if (at > bytes.size || bytes.size - at < sizeof(T)) return false;
  std::memcpy(&value, bytes.data + at, sizeof(T));
  return true;
}

std::string word(const std::string& text, const std::string& key) {
  const size_t begin = text.find(key);
  if (begin == std::string::npos) return {};
  const size_t from = begin + key.size();
  return text.substr(from, text.find_first_of(" \n", from) - from);
}

Mark mark_of(const std::string& custom_string) {
  const size_t begin = custom_string.find(kMark);
  if (begin == std::string::npos) return {};
  const std::string text = custom_string.substr(begin + std::strlen(kMark) - 1);
  return {word(text, " partition="), word(text, " bundle=")};
}

std::string simulated_digest(const Archive& archive) {
  Sha256 sum;
  for (const char* name : {"simulation.onnx", "simulation.data"}) {
    if (const auto bytes = archive.find(name)) sum.add(*bytes);
  }
  return sum.digest();
}

bool fits(const std::string& path, const Mark& mark) {
  std::string error;
  const std::shared_ptr<const Archive> archive = Archive::open_file(path, error);
  if (!archive || !archive->find("simulation.onnx")) return false;
  if (mark.digest.empty()) return true;
  const auto text = archive->find("native.txt");
  if (!mark.partition.empty() && text) {
    const std::string partition = KeyValues(text->text()).get("partition");
    if (!partition.empty() && partition != mark.partition) return false;
  }
  return simulated_digest(*archive) == mark.digest;
}

std::string found_in(const std::string& folder, const Mark& mark) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(folder.c_str()), ::closedir);
  if (!directory) return {};
  std::vector<std::string> names;
  while (const dirent* item = ::readdir(directory.get())) {
    const std::string name = item->d_name;
    const size_t ending = std::strlen(kEnding);
    if (name.size() > ending && name.compare(name.size() - ending, ending, kEnding) == 0) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (fits(folder + "/" + name, mark)) return folder + "/" + name;
  }
  return {};
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// As rknn_ep.artifact.cache has it.
std::string cache_folder() {
  if (const std::string chosen = environment("RKNN_EP_CACHE_DIR"); !chosen.empty()) return chosen + "/bundles";
  if (const std::string base = environment("XDG_CACHE_HOME"); !base.empty()) return base + "/rknn_ep/bundles";
  return environment("HOME") + "/.cache/rknn_ep/bundles";
}

std::vector<std::string> folders(const std::string& beside) {
  std::vector<std::string> list;
  if (!beside.empty()) list.push_back(beside);
  std::string rest = environment("RKNN_EP_COMPANIONS");
  while (!rest.empty()) {
    const size_t colon = rest.find(':');
    if (colon != 0) list.push_back(rest.substr(0, colon));
    rest = colon == std::string::npos ? "" : rest.substr(colon + 1);
  }
  list.push_back(cache_folder());
  return list;
}

}  // namespace

std::string custom_string_of(Bytes model) {
  if (model.size < kFlatbuffer) return {};
  const Bytes buffer{model.data + kFlatbuffer, model.size - kFlatbuffer};
  uint32_t root = 0, string = 0, length = 0;
  int32_t back = 0;
  uint16_t table_size = 0, slot = 0;
  if (!read(buffer, 0, root) || !read(buffer, root, back)) return {};
  const int64_t table = static_cast<int64_t>(root) - back;
  if (table < 0 || !read(buffer, static_cast<uint64_t>(table), table_size)) return {};
  const uint64_t entry = 4 + 2 * kCustomString;
  if (table_size < entry + 2 || !read(buffer, static_cast<uint64_t>(table) + entry, slot) || slot == 0) return {};
  const uint64_t field = static_cast<uint64_t>(root) + slot;
  if (!read(buffer, field, string) || !read(buffer, field + string, length)) return {};
  const uint64_t begin = field + string + 4;
  if (begin > buffer.size || length > buffer.size - begin) return {};
  return std::string(reinterpret_cast<const char*>(buffer.data + begin), length);
}

std::string companion_of(Bytes model, const std::string& path) {
  const std::string_view magic = model.text().substr(0, 4);
  if (magic == "RKNX") {
    throw Failure(RKNN_ERR_MODEL_INVALID, "this is a model of the RKNN3 stack, which is not simulated");
  }
  if (magic != "RKNN") return {};
  const Mark mark = mark_of(custom_string_of(model));
  const size_t slash = path.rfind('/');
  const std::string beside = path.empty() ? "" : slash == std::string::npos ? "." : path.substr(0, slash + 1);
  if (!path.empty()) {
    const size_t dot = path.rfind('.');
    const bool ending = dot != std::string::npos && (slash == std::string::npos || dot > slash);
    const std::string named = path.substr(0, ending ? dot : path.size()) + kEnding;
    if (fits(named, mark)) return named;
  }
  if (!mark.digest.empty()) {
    for (const std::string& folder : folders(beside)) {
      const std::string found = found_in(folder, mark);
      if (!found.empty()) {
        log_line(Level::kInfo, "rknn_init", "the vendor .rknn is simulated by " + found);
        return found;
      }
    }
  }
  const std::string which = mark.digest.empty() ? "its custom string names none"
                                                : "none that holds " + mark.partition + " " + mark.digest +
                                                      " is beside it, in RKNN_EP_COMPANIONS or in the cache";
  throw Failure(
      RKNN_ERR_MODEL_INVALID,
      "this is a vendor .rknn, compiled for hardware; the simulator runs its companion bundle, and " + which +
          ". Make both with one command: rknn-ep compile model.onnx -o model_ctx.onnx --embed-mode 0, and keep "
          "the .rknnctx beside the .rknn (or name its folder in RKNN_EP_COMPANIONS)");
}

}  // namespace rknn_ep::simulator
