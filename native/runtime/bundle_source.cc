#include "runtime/executor.h"
#include "runtime/failure.h"

namespace rknn_ep {

BundleSource BundleSource::open_file(const std::string& path) {
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
  return read_interface(text->text(), origin());
}

}  // namespace rknn_ep
