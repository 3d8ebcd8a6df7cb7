// Lends out a fixed number of places, one to a caller, in the order in which the callers came.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace rknn_ep {

class ContextPool {
 public:
  // `name` is what errors call the owner.
  ContextPool(size_t places, std::string name);
  ContextPool(const ContextPool&) = delete;
  ContextPool& operator=(const ContextPool&) = delete;

  // A place for the length of one inference.
  class Lease {
   public:
    // Waits for its turn, asleep. Throws Failure once the pool is closed.
    explicit Lease(ContextPool& pool) : pool_(pool), place_(pool.take()) {}
    ~Lease() { pool_.give_back(place_); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    size_t place() const { return place_; }

   private:
    ContextPool& pool_;
    const size_t place_;
  };

  // Refuses whoever waits or comes later, and returns when every place is back. Any thread may call it, any number of
  // times, but none that holds a lease.
  void close() noexcept;

 private:
  struct Waiting {
    std::condition_variable turn;
    size_t place = 0;
    bool served = false;
  };

  size_t take();
  void give_back(size_t place) noexcept;
  [[noreturn]] void refuse() const;

  const std::string name_;
  const size_t places_;
  std::mutex mutex_;
  std::condition_variable all_back_;
  std::vector<size_t> idle_;
  std::deque<Waiting*> queue_;  // each on the stack of the thread that waits
  bool closed_ = false;
};

}  // namespace rknn_ep
