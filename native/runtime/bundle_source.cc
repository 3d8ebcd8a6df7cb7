#include <cstring>
#include <fstream>

#include "runtime/executor.h"
#include "runtime/failure.h"

namespace rknn_ep {
namespace {

bool is_vendor_file(const std::string& path) {
  char magic[4] = {};
  std::ifstream(path, std::ios::binary).read(magic, sizeof(magic));
  return std::memcmp(magic, "RKNN", sizeof(magic)) == 0;
}

}  // namespace

BundleSource BundleSource::open_file(const std::string& path) {
  if (is_vendor_file(path)) return {path, nullptr, nullptr};
  std::string error;
  auto archive = Archive::open_file(path, error);
  if (archive == nullptr) throw Failure("bundle " + path + ": " + error);
  return {path, std::move(archive), nullptr};
}

BundleSource BundleSource::open_memory(const void* data, size_t size, std::shared_ptr<const void> owner,
                                       const std::string& origin) {
  std::string error;
  auto archive = Archive::open_memory(data, size, error);
  if (archive == nullptr) throw Failure(origin + ": " + error);
  return {std::string(), std::move(archive), std::move(owner)};
}

Interface BundleSource::interface() const {
  const auto text = archive->find("native.txt");
  if (!text) throw Failure(origin() + " holds no native.txt: it is not a bundle of rknn_ep");
  return read_interface(text->text(), origin(), target);
}

std::vector<Interface> BundleSource::interfaces() const {
  std::vector<Interface> found = {interface()};
  for (size_t shape = 1; shape < found.front().shapes; ++shape) {
    const std::string name = "native." + std::to_string(shape) + ".txt";
    const auto text = archive->find(name);
    if (!text) throw Failure(origin() + " holds no " + name + ": it is damaged");
    found.push_back(read_interface(text->text(), origin() + ", " + name));
    if (found[shape].inputs.size() != found[0].inputs.size() ||
        found[shape].outputs.size() != found[0].outputs.size()) {
      throw Failure(origin() + ": " + name + " describes another model than native.txt");
    }
  }
  return found;
}

}  // namespace rknn_ep
