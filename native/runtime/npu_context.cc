#include "runtime/npu_context.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "runtime/failure.h"
#include "runtime/fork.h"

namespace rknn_ep {

NpuContext::NpuContext(std::shared_ptr<const Model> model) : model_(std::move(model)), generation_(fork_generation()) {}

NpuContext::~NpuContext() {
  if (opened_ && !forked_since(generation_)) model_->library.destroy(handle_);
}

std::shared_ptr<NpuContext> NpuContext::open(const BundleSource& model, const RknnLibrary& library,
                                             const KeyValues& options, const void* ort_api) {
  std::shared_ptr<NpuContext> context(new NpuContext(std::make_shared<Model>(Model{model, library, options, ort_api})));
  context->load();
  return context;
}

std::shared_ptr<NpuContext> NpuContext::another(bool shares) const {
  check_not_forked(generation_);
  std::shared_ptr<NpuContext> context(new NpuContext(model_));
  const RknnLibrary& from = library();
  if (shares && from.dup_context != nullptr) {
    rknn_context original = handle_;
    if (from.dup_context(&original, &context->handle_) == RKNN_SUCC) {
      context->opened_ = true;
      context->parent_ = shared_from_this();
      return context;
    }
  }
  context->load();
  return context;
}

void NpuContext::load() {
  const auto& [bundle, library, options, ort_api] = *model_;
  if (library.is_simulator()) {
    KeyValues simulation;
    simulation.set("simulation", options.get("simulation", "fast"));
    simulation.set("simulation_threads", options.get("simulation_threads", "1"));
    simulation.set("target", bundle.target);
    check("rknn_ep_simulator_configure", library.configure(ort_api, simulation.text().c_str()));
  }
  if (!bundle.is_bundle() || (library.is_simulator() && !bundle.path.empty())) {
    std::string path = bundle.path;  // read or mapped by the library: nothing is copied here
    check("rknn_init", library.init(&handle_, path.data(), 0, 0, nullptr));
  } else {
    const Bytes bytes = model_bytes();
    if (bytes.size > std::numeric_limits<uint32_t>::max()) {
      throw Failure(bundle.origin() + " is larger than the 4 GiB that rknn_init takes");
    }
    // The bytes stay where they are for as long as a context lives; the vendor's runtime copies them in any case.
    const uint32_t flags = library.is_simulator() ? RKNN_FLAG_MODEL_BUFFER_ZERO_COPY : 0;
    check("rknn_init",
          library.init(&handle_, const_cast<uint8_t*>(bytes.data), static_cast<uint32_t>(bytes.size), flags, nullptr));
  }
  opened_ = true;
}

// What rknn_init loads: the simulator takes the whole bundle, a board its own entry.
Bytes NpuContext::model_bytes() const {
  const BundleSource& bundle = model_->bundle;
  if (library().is_simulator()) return bundle.archive->bytes();
  const std::string entry = bundle.interface().target + ".rknn";
  const auto bytes = bundle.archive->find(entry);
  if (!bytes) {
    throw Failure(bundle.origin() + " holds no " + entry +
                  ", so it runs on the simulator only\n  Compile it for the board.");
  }
  return *bytes;
}

void NpuContext::set_input_shapes(const Interface& border) const {
  if (library().set_input_shapes == nullptr) {
    throw Failure(model_->bundle.origin() + " has several input shapes, and " + library().name +
                  " has no rknn_set_input_shapes");
  }
  std::vector<rknn_tensor_attr> wishes(border.inputs.size());
  for (uint32_t i = 0; i < wishes.size(); ++i) {
    const TensorSpec& spec = border.inputs[i];
    wishes[i].index = i;
    check("rknn_query", library().query(handle_, RKNN_QUERY_INPUT_ATTR, &wishes[i], sizeof(wishes[i])));
    wishes[i].n_dims = static_cast<uint32_t>(spec.dims.size());
    std::copy(spec.dims.begin(), spec.dims.end(), wishes[i].dims);
    if (spec.dims.size() == 4 && !spec.picture) std::rotate(wishes[i].dims + 1, wishes[i].dims + 2, wishes[i].dims + 4);
  }
  check("rknn_set_input_shapes",
        library().set_input_shapes(handle_, static_cast<uint32_t>(wishes.size()), wishes.data()));
}

int NpuContext::set_core_mask(int64_t mask) const noexcept {
  return library().set_core_mask == nullptr ? RKNN_ERR_FAIL
                                            : library().set_core_mask(handle_, static_cast<rknn_core_mask>(mask));
}

void NpuContext::check(const char* function, int code) const {
  if (code == RKNN_SUCC) return;
  throw Failure(model_->bundle.origin() + ": " + library_error(library(), function, code));
}

}  // namespace rknn_ep
