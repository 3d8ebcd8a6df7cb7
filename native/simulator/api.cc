// The exported functions of a context's life and runs; memory is in api_memory.cc.
#include <cstdlib>
#include <memory>

#include "abi/rknn_api.h"
#include "abi/rknn_custom_op.h"
#include "bundle/key_values.h"
#include "simulator/context.h"
#include "simulator/export.h"
#include "simulator/guard.h"
#include "simulator/registry.h"

namespace rknn_ep::simulator {

rknn_context next_handle() {
  static std::atomic<rknn_context> last{0};
  return ++last;
}

namespace {

constexpr uint32_t kKnownFlags = 0x1ffff;
constexpr uint32_t kFences = RKNN_FLAG_FENCE_IN_OUTSIDE | RKNN_FLAG_FENCE_OUT_OUTSIDE;
constexpr uint32_t kWithoutEffect =
    RKNN_FLAG_EXECUTE_FALLBACK_PRIOR_DEVICE_GPU | RKNN_FLAG_ENABLE_SRAM | RKNN_FLAG_SHARE_SRAM;

Registry<Context>& contexts() { return Registry<Context>::instance(); }

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

// What rknn_ep_simulator_configure said on this thread; else the environment; else the defaults.
thread_local std::unique_ptr<KeyValues> configured;

EngineOptions engine_options() {
  const std::unique_ptr<KeyValues> given = std::move(configured);  // for one rknn_init, be it good or not
  std::string simulation = environment("RKNN_EP_SIMULATION");
  std::string threads = environment("RKNN_EP_SIMULATION_THREADS");
  if (given) {
    simulation = given->get("simulation", simulation);
    threads = given->get("simulation_threads", threads);
  }
  EngineOptions options;
  if (!simulation.empty() && simulation != "fast" && simulation != "exact") {
    throw Failure(RKNN_ERR_PARAM_INVALID, "simulation is fast or exact, not '" + simulation + "'");
  }
  options.exact = simulation == "exact";
  if (!threads.empty()) {
    KeyValues parsed;
    parsed.set("threads", threads);
    const auto number = parsed.integer("threads");
    if (!number || *number < 1 || *number > 1024) {
      throw Failure(RKNN_ERR_PARAM_INVALID, "simulation_threads is a number from 1, not '" + threads + "'");
    }
    options.threads = static_cast<int>(*number);
  }
  return options;
}

void check_flags(uint32_t flags) {
  if (flags & ~kKnownFlags) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "flag " + std::to_string(flags) + " has bits that rknn_init does not know");
  }
  if (flags & kFences) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "fences belong to the board's kernel driver: there are none on a PC");
  }
  if (flags & kWithoutEffect) {
    log_line(Level::kHint, "rknn_init", "flags for GPU fallback and SRAM have no effect here");
  }
}

LoadOptions load_options(uint32_t flags, const rknn_init_extend* extend) {
  LoadOptions options;
  options.target = configured ? configured->get("target") : "";
  options.engine = engine_options();
  options.info_only = (flags & RKNN_FLAG_COLLECT_MODEL_INFO_ONLY) != 0;
  options.keeps_bundle = (flags & RKNN_FLAG_COLLECT_PERF_MASK) != 0;
  options.stays = (flags & RKNN_FLAG_MODEL_BUFFER_ZERO_COPY) != 0;
  if (extend && extend->real_model_offset < 0) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "real_model_offset is negative");
  }
  if (extend) {
    options.offset = static_cast<uint64_t>(extend->real_model_offset);
    options.size = extend->real_model_size;
  }
  return options;
}

// With RKNN_FLAG_SHARE_WEIGHT_MEM the weights are those of a context that lives: shared where it simulates the same.
std::shared_ptr<Model> sharing(std::shared_ptr<Model> loaded, uint32_t flags, const rknn_init_extend* extend) {
  if (!(flags & RKNN_FLAG_SHARE_WEIGHT_MEM)) return loaded;
  if (!extend) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "RKNN_FLAG_SHARE_WEIGHT_MEM needs extend->ctx: the context to share with");
  }
  std::shared_ptr<Model> other = contexts().find(extend->ctx)->model();
  return other->identity() == loaded->identity() ? other : loaded;
}

}  // namespace
}  // namespace rknn_ep::simulator

using namespace rknn_ep::simulator;

extern "C" {

// The one private symbol. `api` is the host's OrtApi (null: keep looking for a library); `options` are key=value lines
// that hold for this thread's next rknn_init: simulation, simulation_threads, target (of a bundle that serves several
// SoCs). Null options: back to the environment.
RKNN_EP_EXPORT int rknn_ep_simulator_configure(const void* api, const char* options) {
  return guarded("rknn_ep_simulator_configure", [&] {
    Engine::use(static_cast<const rknn_ep::ort::OrtApi*>(api));
    configured = options ? std::make_unique<rknn_ep::KeyValues>(options) : nullptr;
  });
}

RKNN_EP_EXPORT int rknn_init(rknn_context* context, void* model, uint32_t size, uint32_t flag,
                             rknn_init_extend* extend) {
  read_log_level();
  return guarded("rknn_init", [&] {
    if (!context || !model) {
      configured = nullptr;
      throw Failure(RKNN_ERR_PARAM_INVALID, "context or model is null");
    }
    *context = 0;
    const LoadOptions options = load_options(flag, extend);
    check_flags(flag);
    std::shared_ptr<Model> loaded = size == 0 ? Model::from_file(static_cast<const char*>(model), options)
                                              : Model::from_memory(model, size, options);
    const std::string soc = loaded->description().soc.name;
    *context = contexts().add(std::make_shared<Context>(sharing(std::move(loaded), flag, extend), flag));
    log_line(Level::kInfo, "rknn_init", "context " + std::to_string(*context) + " simulates " + soc);
  });
}

RKNN_EP_EXPORT int rknn_dup_context(rknn_context* context_in, rknn_context* context_out) {
  return guarded("rknn_dup_context", [&] {
    if (!context_in || !context_out) throw Failure(RKNN_ERR_PARAM_INVALID, "a context is null");
    *context_out = contexts().add(contexts().find(*context_in)->duplicate());
  });
}

RKNN_EP_EXPORT int rknn_destroy(rknn_context context) {
  return guarded("rknn_destroy", [&] {
    contexts().remove(context);
    drop_memory_of(context);
  });
}

RKNN_EP_EXPORT int rknn_query(rknn_context context, rknn_query_cmd cmd, void* info, uint32_t size) {
  return guarded("rknn_query", [&] { contexts().find(context)->query(raw(cmd), info, size); });
}

RKNN_EP_EXPORT int rknn_inputs_set(rknn_context context, uint32_t n_inputs, rknn_input inputs[]) {
  return guarded("rknn_inputs_set", [&] { contexts().find(context)->set_inputs(n_inputs, inputs); });
}

RKNN_EP_EXPORT int rknn_set_core_mask(rknn_context context, rknn_core_mask core_mask) {
  return guarded("rknn_set_core_mask", [&] { contexts().find(context)->set_core_mask(raw(core_mask)); });
}

RKNN_EP_EXPORT int rknn_set_batch_core_num(rknn_context context, int core_num) {
  return guarded("rknn_set_batch_core_num", [&] { contexts().find(context)->set_batch_cores(core_num); });
}

RKNN_EP_EXPORT int rknn_set_input_shapes(rknn_context ctx, uint32_t n_inputs, rknn_tensor_attr attr[]) {
  return guarded("rknn_set_input_shapes", [&] { contexts().find(ctx)->set_input_shapes(n_inputs, attr, false); });
}

RKNN_EP_EXPORT int rknn_set_input_shape(rknn_context ctx, rknn_tensor_attr* attr) {
  return guarded("rknn_set_input_shape", [&] {
    log_line(Level::kWarning, "rknn_set_input_shape", "deprecated: rknn_set_input_shapes takes its place");
    contexts().find(ctx)->set_input_shapes(1, attr, true);
  });
}

RKNN_EP_EXPORT int rknn_run(rknn_context context, rknn_run_extend* extend) {
  return guarded("rknn_run", [&] { contexts().find(context)->run(extend); });
}

RKNN_EP_EXPORT int rknn_wait(rknn_context context, rknn_run_extend* extend) {
  return guarded("rknn_wait", [&] { contexts().find(context)->wait(extend); });
}

RKNN_EP_EXPORT int rknn_outputs_get(rknn_context context, uint32_t n_outputs, rknn_output outputs[],
                                    rknn_output_extend* extend) {
  return guarded("rknn_outputs_get", [&] { contexts().find(context)->get_outputs(n_outputs, outputs, extend); });
}

RKNN_EP_EXPORT int rknn_outputs_release(rknn_context context, uint32_t n_ouputs, rknn_output outputs[]) {
  return guarded("rknn_outputs_release", [&] { contexts().find(context)->release_outputs(n_ouputs, outputs); });
}

}  // extern "C"
