#include "onnxruntime/ep_context.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <memory>
#include <vector>

#include "onnxruntime/status.h"

namespace rknn_ep {
namespace {

constexpr char kSource[] = "RKNNExecutionProvider";
constexpr char kBundleSuffix[] = ".rknnctx";

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string stem_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string file = slash == std::string::npos ? path : path.substr(slash + 1);
  return file.substr(0, file.rfind('.'));
}

// The absolute path without links; empty where there is no such file.
std::string resolved(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(realpath(path.c_str(), nullptr), &std::free);
  return real == nullptr ? std::string() : std::string(real.get());
}

// The file of an embed-mode-0 node: below the model's folder, with every link followed.
std::string side_file(const std::string& folder, const std::string& name) {
  const std::string where = "its payload '" + name + "'";
  if (name.find('\0') != std::string::npos) throw Failure("its payload is not a file name");
  if (name.empty() || name.front() == '/' || ("/" + name + "/").find("/../") != std::string::npos) {
    throw Failure(where + " lies outside of the model's folder, which rknn_ep does not read");
  }
  const std::string root = resolved(folder);
  const std::string path = resolved(folder + "/" + name);
  if (path.empty()) throw Failure(where + " is missing from " + folder + ": " + std::strerror(errno));
  if (root.empty() || path.compare(0, root.size(), root) != 0 || (root != "/" && path[root.size()] != '/')) {
    throw Failure(where + " is a link that leaves the model's folder, which rknn_ep does not follow");
  }
  return path;
}

// Where the files of a model are looked for.
std::string model_folder(const GraphReader& reader, const ort::OrtGraph& graph, const SessionSettings& settings) {
  const std::string path = reader.model_path(graph);
  if (!path.empty()) return folder_of(path);
  if (!settings.external_folder.empty()) return settings.external_folder;
  if (!settings.context_path.empty()) return folder_of(settings.context_path);
  throw Failure(
      "this EPContext model keeps its payload in a file beside it, but was loaded from memory\n"
      "  Load it by its path, set the session option session.model_external_initializers_file_folder_path, "
      "or compile it with embed mode 1.");
}

// Reads the payload straight into memory of its own, which the archive then works on: one copy, not three.
BundleSource embedded_bundle(const GraphReader& reader, const ort::OrtNode& node) {
  const ort::OrtApi& api = reader.api();
  const ort::OrtOpAttr* attribute = nullptr;
  check(api, api.Node_GetAttributeByName(&node, "ep_cache_context", &attribute));
  size_t size = 0;
  ort::OrtStatus* const refused = api.ReadOpAttr(attribute, ort::ORT_OP_ATTR_STRING, nullptr, size_t{0}, &size);
  if (refused != nullptr) api.ReleaseStatus(refused);  // says how much it takes
  if (size == 0) throw Failure("its payload is empty");
  void* const memory = mmap(nullptr, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw Failure("no memory for its payload");
  const std::shared_ptr<const void> owner(
      memory, [length = size + 1](const void* one) { munmap(const_cast<void*>(one), length); });
  check(api, api.ReadOpAttr(attribute, ort::ORT_OP_ATTR_STRING, memory, size + 1, &size));
  return BundleSource::open_memory(memory, size, owner, "its payload");
}

void copy_file(const std::string& from, const std::string& to) {
  const std::string unfinished = to + ".part" + std::to_string(getpid());
  {
    std::ifstream source(from, std::ios::binary);
    std::ofstream copy(unfinished, std::ios::binary | std::ios::trunc);
    copy << source.rdbuf();
    copy.flush();
    if (!source || !copy || std::rename(unfinished.c_str(), to.c_str()) != 0) {
      const std::string reason = std::strerror(errno);
      std::remove(unfinished.c_str());
      throw Failure("cannot write " + to + ": " + reason);
    }
  }
}

// The attributes of a node under construction: given back unless ONNX Runtime took them into the node.
class Attributes {
 public:
  explicit Attributes(const ort::OrtApi& api) : api_(api) {}
  ~Attributes() {
    for (ort::OrtOpAttr* one : attributes_) api_.ReleaseOpAttr(one);
  }
  Attributes(const Attributes&) = delete;
  Attributes& operator=(const Attributes&) = delete;

  void add(const char* name, int64_t value) { add(name, &value, 1, ort::ORT_OP_ATTR_INT); }
  void add(const char* name, const std::string& value) {
    if (value.size() > static_cast<size_t>(std::numeric_limits<int>::max())) {
      throw Failure(std::string("attribute ") + name + " would pass 2 GiB: use ep.context_embed_mode=0");
    }
    add(name, value.data(), static_cast<int>(value.size()), ort::ORT_OP_ATTR_STRING);
  }

  ort::OrtOpAttr** data() { return attributes_.data(); }
  size_t size() const { return attributes_.size(); }
  void taken() { attributes_.clear(); }

 private:
  void add(const char* name, const void* data, int length, ort::OrtOpAttrType type) {
    ort::OrtOpAttr* attribute = nullptr;
    check(api_, api_.CreateOpAttr(name, data, length, type, &attribute));
    attributes_.push_back(attribute);
  }

  const ort::OrtApi& api_;
  std::vector<ort::OrtOpAttr*> attributes_;
};

std::vector<const char*> names(const std::vector<TensorSpec>& specs) {
  std::vector<const char*> found;
  for (const TensorSpec& spec : specs) found.push_back(spec.name.c_str());
  return found;
}

// Path of the model that ONNX Runtime is about to write; empty where it goes to memory.
std::string written_model(const GraphReader& reader, const ort::OrtGraph& graph, const SessionSettings& settings) {
  if (!settings.context_path.empty()) return settings.context_path;
  const std::string path = reader.model_path(graph);
  return path.empty() ? std::string() : folder_of(path) + "/" + stem_of(path) + "_ctx.onnx";
}

}  // namespace

bool is_own_context(const GraphReader& reader, const ort::OrtNode& node) {
  return reader.op_type(node) == "EPContext" && reader.domain(node) == "com.microsoft" &&
         reader.string_attribute(node, "source") == kSource;
}

ContextPartition read_context(const GraphReader& reader, const ort::OrtGraph& graph, const ort::OrtNode& node,
                              const SessionSettings& settings) {
  const std::string name = reader.string_attribute(node, "partition_name").value_or(reader.name(node));
  const std::string version = reader.string_attribute(node, "ep_sdk_version").value_or("an unknown version");
  const std::string target = reader.string_attribute(node, "hardware_architecture").value_or("");
  const ort::OrtOpAttr* mode = nullptr;
  check(reader.api(), reader.api().Node_GetAttributeByName(&node, "embed_mode", &mode));
  int64_t embedded = 1;
  const std::string mode_bytes = reader.value(*mode, ort::ORT_OP_ATTR_INT);
  std::memcpy(&embedded, mode_bytes.data(), std::min(sizeof embedded, mode_bytes.size()));
  ContextPartition partition{name, {}};
  try {
    if (embedded != 0) {
      partition.bundle = embedded_bundle(reader, node);
    } else {
      const std::string file = reader.string_attribute(node, "ep_cache_context").value_or("");
      partition.bundle = BundleSource::open_file(side_file(model_folder(reader, graph, settings), file));
    }
    if (partition.bundle.interface().target != target) {
      throw Failure("its bundle was compiled for " + partition.bundle.interface().target + ", the model for " + target);
    }
  } catch (const Failure& failure) {
    throw Failure("EPContext model written by rknn_ep " + version + ": partition " + name + ": " + failure.what());
  }
  return partition;
}

ort::OrtNode* write_context(const GraphReader& reader, const ort::OrtGraph& graph, const ort::OrtNode& fused_node,
                            const Interface& interface, const std::string& bundle_path,
                            const SessionSettings& settings) {
  const BundleSource bundle = BundleSource::open_file(bundle_path);
  const auto native_text = bundle.archive->find("native.txt");
  Attributes attributes(reader.api());
  attributes.add("main_context", int64_t{1});
  attributes.add("embed_mode", int64_t{settings.context_embed ? 1 : 0});
  if (settings.context_embed) {
    attributes.add("ep_cache_context", std::string(bundle.archive->bytes().text()));
  } else {
    const std::string model = written_model(reader, graph, settings);
    if (model.empty()) {
      throw Failure(
          "an EPContext model with embed mode 0 needs a path, so that its payload can lie beside it\n"
          "  Set ep.context_file_path, or ep.context_embed_mode=1.");
    }
    const std::string file = stem_of(model) + "_" + interface.partition + kBundleSuffix;
    copy_file(bundle_path, folder_of(model) + "/" + file);
    attributes.add("ep_cache_context", file);
  }
  attributes.add("source", std::string(kSource));
  attributes.add("ep_sdk_version", std::string(RKNN_EP_VERSION));
  attributes.add("hardware_architecture", interface.target);
  attributes.add("partition_name", interface.partition);
  attributes.add("notes", std::string(native_text ? native_text->text() : std::string_view()));
  const std::vector<const char*> inputs = names(interface.inputs);
  const std::vector<const char*> outputs = names(interface.outputs);
  const std::string name = reader.name(fused_node);
  ort::OrtNode* node = nullptr;
  check(reader.api(), reader.api().GetModelEditorApi()->CreateNode(
                          "EPContext", "com.microsoft", name.c_str(), inputs.data(), inputs.size(), outputs.data(),
                          outputs.size(), attributes.data(), attributes.size(), &node));
  attributes.taken();
  return node;
}

}  // namespace rknn_ep
