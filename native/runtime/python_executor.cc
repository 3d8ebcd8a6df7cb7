#include "runtime/executor.h"
#include "runtime/failure.h"
#include "runtime/fork.h"

namespace rknn_ep {
namespace {

class PythonExecutor final : public Executor {
 public:
  PythonExecutor(Interface interface, int64_t id, PythonRun run, PythonClose close)
      : Executor(std::move(interface)), id_(id), run_(run), close_(close) {}

  ~PythonExecutor() override {
    if (!forked_since(generation_)) close_(id_);
  }

  void run(const void* const* inputs, void* const* outputs, size_t) override {
    check_not_forked(generation_);
    last_error().clear();
    if (run_(id_, inputs, outputs) == 0) return;
    throw Failure("partition " + interface().partition + ": " +
                  (last_error().empty() ? "its Python executor failed" : last_error()));
  }

 private:
  const int64_t id_;
  const PythonRun run_;
  const PythonClose close_;
  const uint64_t generation_ = fork_generation();
};

}  // namespace

std::unique_ptr<Executor> open_python_executor(Interface interface, int64_t id, PythonRun run, PythonClose close) {
  return std::make_unique<PythonExecutor>(std::move(interface), id, run, close);
}

}  // namespace rknn_ep
