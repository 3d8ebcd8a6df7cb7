#include "simulator/worker.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "abi/rknn_api.h"
#include "simulator/failure.h"

namespace rknn_ep::simulator {

Worker::~Worker() {
  if (!state_->thread.joinable()) return;
  if (state_->process != ::getpid()) {  // the thread stayed with the parent, but what it waits for looks waited for
    static_cast<void>(state_.release());
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stop = true;
  }
  state_->changed.notify_all();
  state_->thread.join();
}

void Worker::refuse_after_fork() const {
  if (state_->process && state_->process != ::getpid()) {
    throw Failure(RKNN_ERR_FAIL, "a context that has run asynchronously cannot be used after fork(): make a new one");
  }
}

void Worker::start(std::function<void()> work) {
  refuse_after_fork();
  if (!state_->thread.joinable()) {
    state_->process = ::getpid();
    state_->thread = std::thread([state = state_.get()] { loop(*state); });
  }
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->work = std::move(work);
    state_->failure = nullptr;
    state_->busy = true;
  }
  state_->changed.notify_all();
}

bool Worker::busy() {
  const std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->busy;
}

bool Worker::wait(int milliseconds) {
  refuse_after_fork();
  std::unique_lock<std::mutex> lock(state_->mutex);
  const auto done = [this] { return !state_->busy; };
  if (milliseconds < 0) {
    state_->changed.wait(lock, done);
  } else if (!state_->changed.wait_for(lock, std::chrono::milliseconds(milliseconds), done)) {
    return false;
  }
  if (state_->failure) std::rethrow_exception(std::exchange(state_->failure, nullptr));
  return true;
}

void Worker::loop(State& state) {
  std::unique_lock<std::mutex> lock(state.mutex);
  while (true) {
    state.changed.wait(lock, [&state] { return state.stop || state.busy; });
    if (state.busy) {
      const std::function<void()> work = std::exchange(state.work, nullptr);
      lock.unlock();
      std::exception_ptr failure;
      try {
        work();
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      state.failure = failure;
      state.busy = false;
      state.changed.notify_all();
    } else {
      return;
    }
  }
}

}  // namespace rknn_ep::simulator
