// The exported functions: each finds its context, does its work and turns a failure into a code and a log line.
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <shared_mutex>

#include "abi/rknn_api.h"
#include "bundle/key_values.h"
#include "simulator/context.h"
#include "simulator/export.h"
#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

// Contexts by handle: a handle that was never given, or was given back, finds nothing.
class Registry {
 public:
  rknn_context add(std::shared_ptr<Context> context) {
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    contexts_[++last_] = std::move(context);
    return last_;
  }

  std::shared_ptr<Context> find(rknn_context handle) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = contexts_.find(handle);
    if (found == contexts_.end()) throw Failure(RKNN_ERR_CTX_INVALID, "not a context, or one that was destroyed");
    return found->second;
  }

  void remove(rknn_context handle) {
    std::shared_ptr<Context> context;  // its destructor runs after the lock is gone
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    const auto found = contexts_.find(handle);
    if (found == contexts_.end()) throw Failure(RKNN_ERR_CTX_INVALID, "not a context, or one that was destroyed");
    context = std::move(found->second);
    contexts_.erase(found);
  }

 private:
  mutable std::shared_mutex mutex_;
  std::map<rknn_context, std::shared_ptr<Context>> contexts_;
  rknn_context last_ = 0;
};

// Never destroyed: a program may leave contexts open when it exits, and threads of it may still run.
Registry& registry() {
  static Registry* const instance = new Registry;
  return *instance;
}

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

template <typename Work>
int guarded(const char* function, Work work) noexcept {
  try {
    work();
    return RKNN_SUCC;
  } catch (const Failure& failure) {
    log_failure(function, failure.code(), failure.what());
    return failure.code();
  } catch (const std::bad_alloc&) {
    log_failure(function, RKNN_ERR_MALLOC_FAIL, "out of memory");
    return RKNN_ERR_MALLOC_FAIL;
  } catch (const std::exception& error) {
    log_failure(function, RKNN_ERR_FAIL, error.what());
    return RKNN_ERR_FAIL;
  } catch (...) {
    log_failure(function, RKNN_ERR_FAIL, "unknown failure");
    return RKNN_ERR_FAIL;
  }
}

int raw(const void* value) {
  int number = 0;
  std::memcpy(&number, value, sizeof(number));
  return number;
}

}  // namespace
}  // namespace rknn_ep::simulator

using namespace rknn_ep::simulator;

extern "C" {

// The one private symbol. `api` is the host's OrtApi (null: keep looking for a library); `options` are key=value lines
// that hold for this thread's next rknn_init: simulation, simulation_threads. Null options: back to the environment.
RKNN_EP_EXPORT int rknn_ep_simulator_configure(const void* api, const char* options) {
  return guarded("rknn_ep_simulator_configure", [&] {
    Engine::use(static_cast<const rknn_ep::ort::OrtApi*>(api));
    configured = options ? std::make_unique<rknn_ep::KeyValues>(options) : nullptr;
  });
}

RKNN_EP_EXPORT int rknn_init(rknn_context* context, void* model, uint32_t size, uint32_t flag, rknn_init_extend*) {
  return guarded("rknn_init", [&] {
    const EngineOptions options = engine_options();
    if (!context || !model) throw Failure(RKNN_ERR_PARAM_INVALID, "context or model is null");
    *context = 0;
    if (flag & RKNN_FLAG_ASYNC_MASK) throw Failure(RKNN_ERR_PARAM_INVALID, "RKNN_FLAG_ASYNC_MASK is not simulated");
    const bool stays = (flag & RKNN_FLAG_MODEL_BUFFER_ZERO_COPY) != 0;
    std::shared_ptr<Model> loaded = size == 0 ? Model::from_file(static_cast<const char*>(model), options)
                                              : Model::from_memory(model, size, stays, options);
    *context = registry().add(std::make_shared<Context>(std::move(loaded)));
  });
}

RKNN_EP_EXPORT int rknn_dup_context(rknn_context* context_in, rknn_context* context_out) {
  return guarded("rknn_dup_context", [&] {
    if (!context_in || !context_out) throw Failure(RKNN_ERR_PARAM_INVALID, "a context is null");
    *context_out = registry().add(registry().find(*context_in)->duplicate());
  });
}

RKNN_EP_EXPORT int rknn_destroy(rknn_context context) {
  return guarded("rknn_destroy", [&] { registry().remove(context); });
}

RKNN_EP_EXPORT int rknn_query(rknn_context context, rknn_query_cmd cmd, void* info, uint32_t size) {
  return guarded("rknn_query", [&] { registry().find(context)->query(raw(&cmd), info, size); });
}

RKNN_EP_EXPORT int rknn_inputs_set(rknn_context context, uint32_t n_inputs, rknn_input inputs[]) {
  return guarded("rknn_inputs_set", [&] { registry().find(context)->set_inputs(n_inputs, inputs); });
}

RKNN_EP_EXPORT int rknn_set_core_mask(rknn_context context, rknn_core_mask core_mask) {
  return guarded("rknn_set_core_mask", [&] { registry().find(context)->set_core_mask(raw(&core_mask)); });
}

RKNN_EP_EXPORT int rknn_run(rknn_context context, rknn_run_extend* extend) {
  return guarded("rknn_run", [&] {
    if (extend && extend->non_block) throw Failure(RKNN_ERR_PARAM_INVALID, "runs that do not block are not simulated");
    registry().find(context)->run();
  });
}

RKNN_EP_EXPORT int rknn_outputs_get(rknn_context context, uint32_t n_outputs, rknn_output outputs[],
                                    rknn_output_extend*) {
  return guarded("rknn_outputs_get", [&] { registry().find(context)->get_outputs(n_outputs, outputs); });
}

RKNN_EP_EXPORT int rknn_outputs_release(rknn_context context, uint32_t n_ouputs, rknn_output outputs[]) {
  return guarded("rknn_outputs_release", [&] { registry().find(context)->release_outputs(n_ouputs, outputs); });
}

RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem(rknn_context ctx, uint32_t size) {
  return rknn_create_mem2(ctx, size, RKNN_FLAG_MEMORY_FLAGS_DEFAULT);
}

RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem2(rknn_context ctx, uint64_t size, uint64_t) {
  rknn_tensor_mem* made = nullptr;
  guarded("rknn_create_mem", [&] {
    registry().find(ctx);
    if (size == 0 || size > UINT32_MAX - 64)
      throw Failure(RKNN_ERR_PARAM_INVALID, "memory of " + std::to_string(size) + " bytes");
    auto memory = std::make_unique<rknn_tensor_mem>();
    *memory = {};
    memory->virt_addr = std::aligned_alloc(64, (size + 63) / 64 * 64);
    if (!memory->virt_addr) throw std::bad_alloc();
    std::memset(memory->virt_addr, 0, size);
    memory->fd = -1;
    memory->size = static_cast<uint32_t>(size);
    memory->flags = RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE;
    made = memory.release();
  });
  return made;
}

RKNN_EP_EXPORT int rknn_destroy_mem(rknn_context ctx, rknn_tensor_mem* mem) {
  return guarded("rknn_destroy_mem", [&] {
    if (!mem) throw Failure(RKNN_ERR_PARAM_INVALID, "mem is null");
    registry().find(ctx)->unbind(mem);
    std::free(mem->virt_addr);
    delete mem;
  });
}

RKNN_EP_EXPORT int rknn_set_io_mem(rknn_context ctx, rknn_tensor_mem* mem, rknn_tensor_attr* attr) {
  return guarded("rknn_set_io_mem", [&] {
    if (!mem || !attr) throw Failure(RKNN_ERR_PARAM_INVALID, "mem or attr is null");
    registry().find(ctx)->bind(mem, *attr);
  });
}

// Host and simulated device see the same memory: there is nothing to flush.
RKNN_EP_EXPORT int rknn_mem_sync(rknn_context context, rknn_tensor_mem* mem, rknn_mem_sync_mode) {
  return guarded("rknn_mem_sync", [&] {
    registry().find(context);
    if (!mem) throw Failure(RKNN_ERR_PARAM_INVALID, "mem is null");
  });
}

}  // extern "C"
