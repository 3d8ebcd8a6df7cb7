#include "runtime/context_pool.h"

#include "runtime/failure.h"

namespace rknn_ep {

ContextPool::ContextPool(size_t places, std::string name) : name_(std::move(name)), places_(places) {
  idle_.reserve(places);  // giving back never allocates
  for (size_t place = places; place > 0; --place) idle_.push_back(place - 1);
}

size_t ContextPool::take() {
  std::unique_lock<std::mutex> lock(mutex_);
  if (closed_) refuse();
  if (!idle_.empty()) {  // then nobody waits: whoever gives back serves the queue first
    const size_t place = idle_.back();
    idle_.pop_back();
    return place;
  }
  Waiting me;
  queue_.push_back(&me);
  me.turn.wait(lock, [&me, this] { return me.served || closed_; });
  if (me.served) return me.place;
  refuse();  // close() has emptied the queue
}

void ContextPool::give_back(size_t place) noexcept {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (queue_.empty()) {
    idle_.push_back(place);
    if (closed_ && idle_.size() == places_) all_back_.notify_all();
    return;
  }
  Waiting* const next = queue_.front();
  queue_.pop_front();
  next->place = place;
  next->served = true;
  next->turn.notify_one();  // under the lock: it may be gone as soon as the lock is
}

void ContextPool::close() noexcept {
  std::unique_lock<std::mutex> lock(mutex_);
  closed_ = true;
  for (Waiting* const waiting : queue_) waiting->turn.notify_one();
  queue_.clear();
  all_back_.wait(lock, [this] { return idle_.size() == places_; });
}

void ContextPool::refuse() const { throw Failure(name_ + ": the session is closed\n  Open a new one."); }

}  // namespace rknn_ep
