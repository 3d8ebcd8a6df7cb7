// The executor for libraries that implement rknn_api, with a pool of contexts: one context runs one inference at a
// time, so `contexts` bounds how many run at once.
#include <algorithm>
#include <cstring>
#include <mutex>
#include <vector>

#include "runtime/binding.h"
#include "runtime/context_pool.h"
#include "runtime/core_masks.h"
#include "runtime/executor.h"
#include "runtime/failure.h"
#include "runtime/flow.h"
#include "runtime/fork.h"
#include "runtime/library.h"
#include "runtime/npu_context.h"
#include "runtime/queried_interface.h"
#include "runtime/soc_here.h"

namespace rknn_ep {
namespace {

constexpr int64_t kMostContexts = 64;

// The flow goes before its context: its memory belongs to it.
struct Slot {
  std::shared_ptr<NpuContext> context;
  std::unique_ptr<Flow> flow;
  size_t shape = 0;  // the input shapes that the context is set to
};

size_t context_count(const KeyValues& options) {
  const int64_t count = options.has("contexts") ? options.integer("contexts").value_or(0) : 1;
  if (count < 1 || count > kMostContexts) {
    throw Failure("option 'contexts' is a whole number from 1 to 64, not '" + options.get("contexts") + "'");
  }
  return static_cast<size_t>(count);
}

class RknnExecutor final : public Executor {
 public:
  RknnExecutor(std::vector<Interface> borders, std::shared_ptr<NpuContext> first, const KeyValues& options)
      : Executor(std::move(borders)),
        library_(first->library()),
        io_mode_(choose_io_mode(options.get("io_mode", "auto"), calls(0))),
        pool_(context_count(options), "partition " + interface().partition) {
    const size_t count = context_count(options);
    const CoreMasks masks = CoreMasks::read(options.get("core_mask", "auto"), interface(), *first, count);
    slots_.resize(count);
    for (size_t index = 0; index < count; ++index) {
      Slot& slot = slots_[index];
      slot.context = index == 0 ? first : first->another(shapes() == 1);
      masks.apply(*slot.context, index);
      if (shapes() > 1) slot.context->set_input_shapes(interface());
      slot.flow = open_flow(io_mode_, slot.context->handle(), calls(0));
    }
  }

  ~RknnExecutor() override { shut_down(); }

  void run(const void* const* inputs, void* const* outputs, size_t shape) override {
    check_not_forked(generation_);
    const ContextPool::Lease lease(pool_);
    at_shape(slots_[lease.place()], shape).flow->run(inputs, outputs);
  }

  void run_inputs(const rknn_input* inputs, void* const* outputs, size_t shape) override {
    check_not_forked(generation_);
    const ContextPool::Lease lease(pool_);
    at_shape(slots_[lease.place()], shape).flow->run_inputs(inputs, outputs);
  }

  void shut_down() noexcept override {
    std::unique_lock<std::mutex> lock(closing_, std::defer_lock);
    if (!forked_since(generation_)) {  // in a fork, locks may be held by threads that are not there
      pool_.close();
      lock.lock();
    }
    slots_.clear();
  }

  std::unique_ptr<Binding> bind(const KeyValues& options, size_t shape) override {
    check_not_forked(generation_);
    std::shared_ptr<NpuContext> context;
    {
      const ContextPool::Lease lease(pool_);  // no run disturbs the context while it is duplicated
      context = slots_[lease.place()].context->another(shapes() == 1);
    }
    if (shapes() > 1) context->set_input_shapes(interface(shape));
    return std::make_unique<Binding>(std::move(context), calls(shape), options);
  }

  KeyValues describe(size_t shape) override {
    check_not_forked(generation_);
    const ContextPool::Lease lease(pool_);
    return gather_facts(at_shape(slots_[lease.place()], shape), shape);
  }

 private:
  Calls calls(size_t shape) const { return {library_, interface(shape), shapes() > 1}; }

  // A context computes with one choice of input shapes until another is set.
  Slot& at_shape(Slot& slot, size_t shape) {
    if (slot.shape == shape && slot.flow) return slot;
    slot.flow.reset();  // its memory belongs to the shape before
    slot.context->set_input_shapes(interface(shape));
    slot.flow = open_flow(io_mode_, slot.context->handle(), calls(shape));
    slot.shape = shape;
    return slot;
  }

  KeyValues gather_facts(const Slot& slot, size_t shape) {
    KeyValues facts = Executor::describe(shape);
    const NpuContext& context = *slot.context;
    facts.set("library", library_.name);
    std::string missing;
    for (const std::string& one : library_.missing) missing += (missing.empty() ? "" : ",") + one;
    facts.set("library.missing", missing);
    rknn_sdk_version version{};
    if (library_.query(context.handle(), RKNN_QUERY_SDK_VERSION, &version, sizeof(version)) == RKNN_SUCC) {
      facts.set("api_version", std::string(version.api_version, ::strnlen(version.api_version, RKNN_MAX_NAME_LEN)));
      facts.set("driver_version", std::string(version.drv_version, ::strnlen(version.drv_version, RKNN_MAX_NAME_LEN)));
    }
    rknn_mem_size memory{};
    if (library_.query(context.handle(), RKNN_QUERY_MEM_SIZE, &memory, sizeof(memory)) == RKNN_SUCC) {
      facts.set("weight_bytes", std::to_string(memory.total_weight_size));
      facts.set("internal_bytes", std::to_string(memory.total_internal_size));
    }
    facts.set("contexts", std::to_string(slots_.size()));
    const bool shared =
        std::all_of(slots_.begin() + 1, slots_.end(), [](const Slot& slot) { return slot.context->shares_weights(); });
    facts.set("weights_shared", shared ? "1" : "0");
    facts.set("io_mode", io_mode_ == IoMode::kGeneral ? "general" : "zero_copy");
    for (const bool is_input : {true, false}) {
      const auto& specs = is_input ? interface(shape).inputs : interface(shape).outputs;
      for (size_t index = 0; index < specs.size(); ++index) {
        const rknn_query_cmd query = is_input ? RKNN_QUERY_NATIVE_INPUT_ATTR : RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR;
        const std::string prefix = (is_input ? "input." : "output.") + std::to_string(index) + ".device";
        describe_attr(facts, prefix, query_attr(context.handle(), calls(shape), query, index));
      }
    }
    return facts;
  }

  const RknnLibrary& library_;
  const IoMode io_mode_;
  const uint64_t generation_ = fork_generation();
  ContextPool pool_;
  std::mutex closing_;
  std::vector<Slot> slots_;
};

}  // namespace

std::unique_ptr<Executor> open_rknn_executor(BundleSource bundle, const std::string& library, const KeyValues& options,
                                             const void* ort_api) {
  const RknnLibrary& loaded = RknnLibrary::open(library);
  if (bundle.is_bundle()) {  // what is wrong with the options is said before a device is asked for anything
    bundle.target = options.has("target") ? options.get("target") : soc_here(bundle, loaded.is_simulator());
    const Interface border = bundle.interface();
    choose_io_mode(options.get("io_mode", "auto"), Calls{loaded, border});
    context_count(options);
  }
  auto first = NpuContext::open(bundle, loaded, options, ort_api);
  auto borders = bundle.is_bundle() ? bundle.interfaces() : query_interfaces(*first, bundle.origin());
  return std::make_unique<RknnExecutor>(std::move(borders), std::move(first), options);
}

}  // namespace rknn_ep
