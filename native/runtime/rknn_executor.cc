// The executor for libraries that implement rknn_api, with a pool of contexts: one context runs one inference at a
// time, so `contexts` bounds how many run at once.
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <limits>
#include <mutex>
#include <vector>

#include "runtime/executor.h"
#include "runtime/failure.h"
#include "runtime/flow.h"
#include "runtime/fork.h"
#include "runtime/library.h"

namespace rknn_ep {
namespace {

constexpr int64_t kMostContexts = 64;

struct Context {
  rknn_context handle = 0;
  std::unique_ptr<Flow> flow;
};

class RknnExecutor final : public Executor {
 public:
  RknnExecutor(const BundleSource& bundle, const RknnLibrary& library, const KeyValues& options, const void* ort_api)
      : Executor(bundle.interface()),
        library_(library),
        bundle_(bundle),
        calls_{library, interface()},
        io_mode_(choose_io_mode(options.get("io_mode", "auto"), calls_)) {
    const int64_t count = options.has("contexts") ? options.integer("contexts").value_or(0) : 1;
    if (count < 1 || count > kMostContexts) {
      throw Failure("option 'contexts' is a whole number from 1 to 64, not '" + options.get("contexts") + "'");
    }
    try {
      for (int64_t index = 0; index < count; ++index) add_context(options, ort_api);
    } catch (...) {
      destroy();
      throw;
    }
    for (Context& context : contexts_) idle_.push_back(&context);
  }

  ~RknnExecutor() override { destroy(); }

  void run(const void* const* inputs, void* const* outputs) override {
    check_not_forked(generation_);
    const Lease context(*this);
    context->flow->run(inputs, outputs);
  }

 private:
  // A context for the length of one inference.
  class Lease {
   public:
    explicit Lease(RknnExecutor& executor) : executor_(executor) {
      std::unique_lock<std::mutex> lock(executor_.mutex_);
      executor_.returned_.wait(lock, [this] { return !executor_.idle_.empty(); });
      context_ = executor_.idle_.back();
      executor_.idle_.pop_back();
    }
    ~Lease() {
      {
        const std::lock_guard<std::mutex> lock(executor_.mutex_);
        executor_.idle_.push_back(context_);
      }
      executor_.returned_.notify_one();
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Context* operator->() const { return context_; }

   private:
    RknnExecutor& executor_;
    Context* context_;
  };

  void add_context(const KeyValues& options, const void* ort_api) {
    Context context;
    configure(options, ort_api);
    const Bytes bytes = model();
    if (library_.is_simulator() && !bundle_.path.empty()) {  // it maps the file itself: nothing is copied
      std::string path = bundle_.path;
      calls_.check("rknn_init", library_.init(&context.handle, path.data(), 0, 0, nullptr));
    } else {
      if (bytes.size > std::numeric_limits<uint32_t>::max()) {
        throw Failure("partition " + interface().partition + " is larger than the 4 GiB that rknn_init takes");
      }
      // The bytes stay where they are for as long as this executor lives; the vendor's runtime copies them in any case.
      const uint32_t flags = library_.is_simulator() ? RKNN_FLAG_MODEL_BUFFER_ZERO_COPY : 0;
      calls_.check("rknn_init", library_.init(&context.handle, const_cast<uint8_t*>(bytes.data),
                                              static_cast<uint32_t>(bytes.size), flags, nullptr));
    }
    contexts_.push_back(std::move(context));
    set_core_mask(contexts_.back().handle, options.get("core_mask", "auto"));
    contexts_.back().flow = open_flow(io_mode_, contexts_.back().handle, calls_);
  }

  void configure(const KeyValues& options, const void* ort_api) const {
    if (!library_.is_simulator()) return;
    KeyValues simulation;
    simulation.set("simulation", options.get("simulation", "fast"));
    simulation.set("simulation_threads", options.get("simulation_threads", "1"));
    calls_.check("rknn_ep_simulator_configure", library_.configure(ort_api, simulation.text().c_str()));
  }

  // What rknn_init loads: the simulator takes the whole bundle, a board its own entry.
  Bytes model() const {
    if (library_.is_simulator()) return bundle_.archive->bytes();
    const std::string entry = interface().target + ".rknn";
    const auto bytes = bundle_.archive->find(entry);
    if (!bytes) {
      throw Failure(bundle_.origin() + " holds no " + entry +
                    ", so it runs on the simulator only\n  Compile it for the board.");
    }
    return *bytes;
  }

  void set_core_mask(rknn_context handle, const std::string& text) const {
    if (text == "auto") return;
    char* end = nullptr;
    const long mask = text == "all" ? static_cast<long>(RKNN_NPU_CORE_ALL) : std::strtol(text.c_str(), &end, 0);
    if (text != "all" && (text.empty() || *end != '\0' || mask < 0 || mask > RKNN_NPU_CORE_ALL)) {
      throw Failure("option 'core_mask' is auto, all or a bit mask such as 0x7, not '" + text + "'");
    }
    const int code = library_.set_core_mask == nullptr
                         ? RKNN_ERR_FAIL
                         : library_.set_core_mask(handle, static_cast<rknn_core_mask>(mask));
    if (code == RKNN_SUCC) return;
    std::string valid;
    for (const int64_t one : interface().core_masks) valid += (valid.empty() ? "" : ", ") + std::to_string(one);
    throw Failure("option core_mask=" + text + ": " + rknn_error("rknn_set_core_mask", code) + "; " +
                  interface().target + (valid.empty() ? " has a single core: leave core_mask out" : " takes " + valid));
  }

  void destroy() noexcept {
    if (forked_since(generation_)) return;  // the device belongs to the parent process
    for (Context& context : contexts_) {
      context.flow.reset();  // its memory belongs to the context
      library_.destroy(context.handle);
    }
  }

  const RknnLibrary& library_;
  const BundleSource bundle_;
  const Calls calls_;
  const IoMode io_mode_;
  const uint64_t generation_ = fork_generation();
  std::vector<Context> contexts_;
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<Context*> idle_;
};

}  // namespace

std::unique_ptr<Executor> open_rknn_executor(const BundleSource& bundle, const std::string& library,
                                             const KeyValues& options, const void* ort_api) {
  return std::make_unique<RknnExecutor>(bundle, RknnLibrary::open(library), options, ort_api);
}

}  // namespace rknn_ep
