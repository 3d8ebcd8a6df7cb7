#include "simulator/model.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

constexpr size_t kWeightAlignment = 64;

// Files of the vendor's stacks are recognised to be refused by name.
void refuse_vendor_files(Bytes head) {
  if (head.size < 4) return;
  const std::string_view magic = head.text().substr(0, 4);
  if (magic == "RKNN") {
    throw Failure(RKNN_ERR_MODEL_INVALID,
                  "this is a vendor .rknn, compiled for hardware. The simulator runs bundles: compile the ONNX model "
                  "with rknn-ep, its bundles hold a simulation beside the .rknn");
  }
  if (magic == "RKNX") {
    throw Failure(RKNN_ERR_MODEL_INVALID, "this is a model of the RKNN3 stack, which is not simulated");
  }
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
  if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
    uint8_t head[4] = {};
    const size_t size = std::fread(head, 1, sizeof(head), file);
    std::fclose(file);
    refuse_vendor_files({head, size});
  }
  std::string error;
  std::shared_ptr<Model> model(new Model);
  model->archive_ = Archive::open_file(path, error);
  if (!model->archive_) throw Failure(RKNN_ERR_MODEL_INVALID, error);
  model->load(options, path);
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
