#include "simulator/model.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>

#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

constexpr size_t kWeightAlignment = 64;

// Files of the vendor's stacks are recognised to be refused by name.
void refuse_vendor_files(Bytes head) {
  const std::string_view magic = head.text().substr(0, 4);
  if (magic == "RKNN") {
    throw Failure(RKNN_ERR_MODEL_INVALID,
                  "this is a vendor .rknn, compiled for hardware. The simulator runs bundles: compile the ONNX model "
                  "with rknn-ep and put the bundle beside it under the same name, ending in .rknnctx");
  }
  if (magic == "RKNX") {
    throw Failure(RKNN_ERR_MODEL_INVALID, "this is a model of the RKNN3 stack, which is not simulated");
  }
}

std::string first_bytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char head[4] = {};
  file.read(head, sizeof(head));
  return std::string(head, static_cast<size_t>(file.gcount()));
}

// The bundle to run for a file: itself, or for a vendor .rknn the bundle beside it.
std::string bundle_for(const std::string& path) {
  const std::string head = first_bytes(path);
  if (head == "RKNN") {
    const size_t slash = path.rfind('/');
    const size_t dot = path.rfind('.');
    const bool ending = dot != std::string::npos && (slash == std::string::npos || dot > slash);
    const std::string companion = path.substr(0, ending ? dot : path.size()) + ".rknnctx";
    if (!first_bytes(companion).empty()) return companion;
  }
  refuse_vendor_files({reinterpret_cast<const uint8_t*>(head.data()), head.size()});
  return path;
}

// The file behind links: ONNX Runtime wants the weights inside the folder that it is told.
std::string resolved(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
  return real ? std::string(real.get()) : path;
}

Bytes entry(const Archive& archive, const std::string& name) {
  const auto bytes = archive.find(name);
  if (!bytes) {
    throw Failure(RKNN_ERR_MODEL_INVALID,
                  "the bundle has no '" + name + "': it was stripped of its simulation, or is none of ours");
  }
  if (!archive.intact(name)) {
    throw Failure(RKNN_ERR_MODEL_INVALID, "damaged bundle: the checksum of '" + name + "' is wrong");
  }
  return *bytes;
}

}  // namespace

std::shared_ptr<Model> Model::from_file(const std::string& path, const EngineOptions& options) {
  const std::string bundle = resolved(bundle_for(path));
  std::string error;
  std::shared_ptr<Model> model(new Model);
  model->archive_ = Archive::open_file(bundle, error);
  if (!model->archive_) throw Failure(RKNN_ERR_MODEL_INVALID, error);
  model->load(options, bundle);
  return model;
}

std::shared_ptr<Model> Model::from_memory(const void* data, size_t size, bool stays, const EngineOptions& options) {
  refuse_vendor_files({static_cast<const uint8_t*>(data), size});
  std::string error;
  std::shared_ptr<Model> model(new Model);
  model->archive_ = Archive::open_memory(data, size, error);
  if (!model->archive_) throw Failure(RKNN_ERR_MODEL_INVALID, error);
  model->load(options, {}, !stays);
  return model;
}

void Model::load(const EngineOptions& options, const std::string& path, bool copy) {
  const Archive& archive = *archive_;
  description_ = Description::parse(KeyValues(entry(archive, "native.txt").text()));
  const Bytes onnx = entry(archive, options.exact ? description_.exact_model : "simulation.onnx");
  Weights weights;
  if (const ArchiveEntry* data = archive.entry_of("simulation.data")) {
    weights = {entry(archive, data->name), path, data->offset};
    const bool aligned = reinterpret_cast<uintptr_t>(weights.bytes.data) % kWeightAlignment == 0;
    if (path.empty() && (copy || !aligned)) weights.bytes = copied(weights.bytes);
  }
  session_ = std::make_unique<Session>(Engine::acquire(), options, onnx, weights, description_);
  archive_ = nullptr;
}

Bytes Model::copied(Bytes weights) {
  const size_t room = (weights.size + kWeightAlignment) / kWeightAlignment * kWeightAlignment;
  copy_ = {static_cast<uint8_t*>(std::aligned_alloc(kWeightAlignment, room)), std::free};
  if (!copy_) throw std::bad_alloc();
  std::memcpy(copy_.get(), weights.data, weights.size);
  return {copy_.get(), weights.size};
}

}  // namespace rknn_ep::simulator
