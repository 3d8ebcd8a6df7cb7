#include "runtime/fork.h"

#include <pthread.h>

#include <atomic>

#include "runtime/failure.h"

namespace rknn_ep {
namespace {

std::atomic<uint64_t> generations{0};

}  // namespace

uint64_t fork_generation() noexcept {
  static const int registered =
      pthread_atfork(nullptr, nullptr, [] { generations.fetch_add(1, std::memory_order_relaxed); });
  static_cast<void>(registered);  // fails only without memory, and then forks go unnoticed
  return generations.load(std::memory_order_relaxed);
}

bool forked_since(uint64_t generation) noexcept { return generations.load(std::memory_order_relaxed) != generation; }

void check_not_forked(uint64_t generation) {
  if (forked_since(generation)) {
    throw Failure(
        "this session was created before the process forked, and an NPU context does not survive fork()\n"
        "  Create the session in the child process, or start processes with spawn instead of fork.");
  }
}

}  // namespace rknn_ep
