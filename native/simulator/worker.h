// One thread that runs one thing at a time for a context: asynchronous runs, and runs with a timeout.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

namespace rknn_ep::simulator {

class Worker {
 public:
  Worker() = default;
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // The thread starts with the first work. What is under way must have been waited for.
  void start(std::function<void()> work);
  bool busy();
  // Waits; false after `milliseconds` (negative: without end). Then throws what the work threw.
  bool wait(int milliseconds = -1);

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::function<void()> work;
    std::exception_ptr failure;
    bool busy = false;
    bool stop = false;
    std::thread thread;
    long process = 0;  // the one in which the thread is
  };

  static void loop(State& state);
  void refuse_after_fork() const;

  std::unique_ptr<State> state_ = std::make_unique<State>();
};

}  // namespace rknn_ep::simulator
