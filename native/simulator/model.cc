#include "simulator/model.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>

#include "bundle/soc_lines.h"
#include "simulator/companion.h"
#include "simulator/failure.h"
#include "simulator/kernels/simd.h"
#include "simulator/log.h"

namespace rknn_ep::simulator {
namespace {

constexpr size_t kWeightAlignment = 64;
// The same model with the operators of kernels/, where compiling made one.
constexpr const char* kOwnKernels = "simulation_avx2";

// Files of the vendor's stacks are recognised by their first bytes.
bool of_vendor(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  char head[4] = {};
  file.read(head, sizeof(head));
  return std::memcmp(head, "RKNN", 4) == 0 || std::memcmp(head, "RKNX", 4) == 0;
}

std::vector<uint8_t> content(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  const auto size = static_cast<int64_t>(file.tellg());
  if (!file || size <= 0) throw Failure(RKNN_ERR_MODEL_INVALID, path + ": cannot be read, or is empty");
  std::vector<uint8_t> bytes(static_cast<size_t>(size));
  file.seekg(0);
  if (!file.read(reinterpret_cast<char*>(bytes.data()), size)) {
    throw Failure(RKNN_ERR_MODEL_INVALID, path + ": cannot be read");
  }
  return bytes;
}

// The bundle to run for a file: itself, or for a vendor .rknn its companion.
std::string bundle_for(const std::string& path) {
  if (!of_vendor(path)) return path;
  const std::vector<uint8_t> bytes = content(path);
  const std::string companion = companion_of({bytes.data(), bytes.size()}, path);
  return companion.empty() ? path : companion;
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

std::shared_ptr<Model> Model::from_file(const std::string& path, const LoadOptions& options) {
  std::string error;
  if (options.offset || options.size) {  // a bundle inside a larger file
    const std::vector<uint8_t> whole = content(path);
    LoadOptions copying = options;
    copying.stays = false;
    return from_memory(whole.data(), whole.size(), copying);
  }
  const std::string bundle = resolved(bundle_for(path));
  std::shared_ptr<const Archive> archive = Archive::open_file(bundle, error);
  if (!archive) throw Failure(RKNN_ERR_MODEL_INVALID, error);
  return read(std::move(archive), bundle, options);
}

std::shared_ptr<Model> Model::from_memory(const void* data, size_t size, const LoadOptions& options) {
  if (options.offset > size || options.size > size - options.offset) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "the model is said to lie at byte " + std::to_string(options.offset) +
                                              " with " + std::to_string(options.size) + " bytes, of " +
                                              std::to_string(size));
  }
  const Bytes bytes{static_cast<const uint8_t*>(data) + options.offset,
                    options.size ? static_cast<size_t>(options.size) : size - options.offset};
  LoadOptions inside = options;
  inside.offset = inside.size = 0;
  if (const std::string companion = companion_of(bytes, {}); !companion.empty()) return from_file(companion, inside);
  std::string error;
  std::shared_ptr<const Archive> archive = Archive::open_memory(bytes.data, bytes.size, error);
  if (!archive) throw Failure(RKNN_ERR_MODEL_INVALID, error);
  return read(std::move(archive), {}, inside);
}

std::shared_ptr<Model> Model::read(std::shared_ptr<const Archive> archive, const std::string& path,
                                   const LoadOptions& options) {
  std::shared_ptr<Model> model(new Model);
  model->archive_ = std::move(archive);
  model->load(path, options);
  return model;
}

// The entries of one choice of shapes: simulation.onnx and native.txt are the first's, the others have its number.
Model::Plan Model::read_plan(size_t shape, const std::string& soc) {
  const Archive& archive = *archive_;
  const std::string number = shape ? "." + std::to_string(shape) : "";
  Plan plan;
  const KeyValues lines(entry(archive, "native" + number + ".txt").text());
  plan.description = Description::parse(soc.empty() || shape ? lines : lines_of_soc(lines, soc));
  if (shape) plan.description.soc = plans_[0].description.soc;
  std::string name = engine_.exact ? plan.description.exact_model : "simulation" + number + ".onnx";
  const std::string own = kOwnKernels + number + ".onnx";
  if (!engine_.exact && own_kernels_pay() && archive.find(own)) name = own;
  plan.onnx = entry(archive, name);
  identity_ += name + ":" + std::to_string(archive.entry_of(name)->crc32) + ":" + std::to_string(plan.onnx.size) + ":";
  return plan;
}

void Model::load(const std::string& path, const LoadOptions& options) {
  const Archive& archive = *archive_;
  engine_ = options.engine;
  info_only_ = options.info_only;
  const KeyValues lines(entry(archive, "native.txt").text());
  const std::string soc = simulated_soc();
  if (!soc.empty() && (!serves(lines, soc) || (!options.target.empty() && options.target != soc))) {
    const std::string made_for = options.target.empty() ? served_socs_text(lines) : options.target;
    throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH,
                  "the model is for " + made_for + ", RKNN_EP_SIMULATED_SOC says that this is " + soc);
  }
  const std::string wanted = soc.empty() ? options.target : soc;
  plans_.push_back(read_plan(0, wanted));
  const size_t shapes = plans_[0].description.shapes;
  for (size_t shape = 1; shape < shapes; ++shape) {
    plans_.push_back(read_plan(shape, wanted));
    plans_[0].description.require_same_tensors(plans_[shape].description);
  }
  if (const ArchiveEntry* data = archive.entry_of("simulation.data")) {
    weights_ = {entry(archive, data->name), path, data->offset};
    identity_ += std::to_string(data->crc32) + ":" + std::to_string(data->size);
    const bool aligned = reinterpret_cast<uintptr_t>(weights_.bytes.data) % kWeightAlignment == 0;
    if (!options.info_only && path.empty() && (!options.stays || !aligned)) weights_.bytes = copied(weights_.bytes);
  }
  custom_nodes_ = custom_nodes(plans_[0].onnx);
  if (!custom_nodes_.empty() && shapes > 1) {  // their callbacks are told one shape
    throw Failure(RKNN_ERR_MODEL_INVALID, "a model of several input shapes has the custom operator '" +
                                              custom_nodes_[0].op_type + "', which is not simulated");
  }
  if (!options.info_only && custom_nodes_.empty()) plans_[0].session = make_session(plans_[0], {});
  const bool keeps = options.keeps_bundle || !custom_nodes_.empty() || shapes > 1;
  for (Plan& plan : plans_) {
    if (!keeps || !path.empty() || options.stays) break;
    plan.kept_onnx.assign(plan.onnx.data, plan.onnx.data + plan.onnx.size);
    plan.onnx = {plan.kept_onnx.data(), plan.kept_onnx.size()};
  }
  if (!keeps || path.empty()) archive_ = nullptr;
}

std::unique_ptr<Session> Model::make_session(const Plan& plan, const SessionExtras& extras) const {
  return std::make_unique<Session>(Engine::acquire(), engine_, plan.onnx, weights_, plan.description, extras);
}

std::unique_ptr<Session> Model::profiled(const std::string& file_prefix, size_t shape) const {
  SessionExtras extras;
  extras.profile_prefix = file_prefix;
  if (custom_ops_) extras.custom_ops = custom_ops_->domains();
  return make_session(plans_[shape], extras);
}

void Model::register_custom_ops(const rknn_custom_op* ops, uint32_t count) {
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  if (custom_nodes_.empty()) {
    log_line(Level::kHint, "rknn_register_custom_ops", "the model has no custom operators");
    return;
  }
  if (plans_[0].session) throw Failure(RKNN_ERR_FAIL, "the model's custom operators are registered already");
  auto registered = std::make_unique<CustomOps>(Engine::acquire(), custom_nodes_, ops, count);
  SessionExtras extras;
  extras.custom_ops = registered->domains();
  plans_[0].session = make_session(plans_[0], extras);
  custom_ops_ = std::move(registered);
}

const Session& Model::session(size_t shape) const {
  {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    if (const Session* session = plans_[shape].session.get()) return *session;
  }
  const std::unique_lock<std::shared_mutex> lock(mutex_);
  Plan& plan = plans_[shape];
  if (plan.session) return *plan.session;
  if (info_only_) throw Failure(RKNN_ERR_FAIL, "the model was loaded for information alone");
  if (!custom_nodes_.empty() && !custom_ops_) {
    throw Failure(RKNN_ERR_FAIL, "the model has the custom operator '" + custom_nodes_[0].op_type +
                                     "': call rknn_register_custom_ops first");
  }
  SessionExtras extras;
  if (custom_ops_) extras.custom_ops = custom_ops_->domains();
  plan.session = make_session(plan, extras);
  return *plan.session;
}

Bytes Model::copied(Bytes weights) {
  const size_t room = (weights.size + kWeightAlignment) / kWeightAlignment * kWeightAlignment;
  copy_ = {static_cast<uint8_t*>(std::aligned_alloc(kWeightAlignment, room)), std::free};
  if (!copy_) throw std::bad_alloc();
  std::memcpy(copy_.get(), weights.data, weights.size);
  return {copy_.get(), weights.size};
}

}  // namespace rknn_ep::simulator
