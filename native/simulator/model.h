// A bundle loaded into the simulator: shared by a context and its duplicates.
#pragma once

#include <memory>

#include "bundle/archive.h"
#include "simulator/engine.h"
#include "simulator/tensor.h"

namespace rknn_ep::simulator {

class Model {
 public:
  // Reads a bundle where it lies.
  static std::shared_ptr<Model> from_file(const std::string& path, const EngineOptions& options);
  // Reads a bundle from memory. The weights are copied unless `stays`: then the memory must outlive the model.
  static std::shared_ptr<Model> from_memory(const void* data, size_t size, bool stays, const EngineOptions& options);

  const Description& description() const { return description_; }
  const Session& session() const { return *session_; }

 private:
  Model() = default;
  // `path` is empty for a bundle in memory, whose weights are copied if `copy`.
  void load(const EngineOptions& options, const std::string& path, bool copy = false);
  Bytes copied(Bytes weights);

  std::shared_ptr<const Archive> archive_;  // only while loading
  std::unique_ptr<uint8_t[], void (*)(void*)> copy_{nullptr, nullptr};
  Description description_;
  std::unique_ptr<Session> session_;
};

}  // namespace rknn_ep::simulator
