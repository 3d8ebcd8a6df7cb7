// Handles of what a program made: one that was never given, or was given back, or stands for something else, finds
// nothing.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>

#include "abi/rknn_api.h"
#include "simulator/failure.h"

namespace rknn_ep::simulator {

// Numbers of contexts of any kind: none is given twice.
rknn_context next_handle();

template <typename Object>
class Registry {
 public:
  // Never destroyed: a program may leave contexts open when it exits, and threads of it may still run.
  static Registry& instance() {
    static Registry* const only = new Registry;
    return *only;
  }

  rknn_context add(std::shared_ptr<Object> object) {
    const rknn_context handle = next_handle();
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    objects_[handle] = std::move(object);
    return handle;
  }

  std::shared_ptr<Object> find(rknn_context handle) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) refuse();
    return found->second;
  }

  bool has(rknn_context handle) const {
    const std::shared_lock<std::shared_mutex> lock(mutex_);
    return objects_.count(handle) != 0;
  }

  void remove(rknn_context handle) {
    std::shared_ptr<Object> object;  // its destructor runs after the lock is gone
    const std::unique_lock<std::shared_mutex> lock(mutex_);
    const auto found = objects_.find(handle);
    if (found == objects_.end()) refuse();
    object = std::move(found->second);
    objects_.erase(found);
  }

  // Of every object, in no order.
  template <typename Visit>
  void each(Visit visit) const {
    std::map<rknn_context, std::shared_ptr<Object>> copy;
    {
      const std::shared_lock<std::shared_mutex> lock(mutex_);
      copy = objects_;
    }
    for (const auto& [handle, object] : copy) visit(*object);
  }

 private:
  Registry() = default;
  [[noreturn]] static void refuse() {
    throw Failure(RKNN_ERR_CTX_INVALID, "not a context of this kind, or one that was destroyed");
  }

  mutable std::shared_mutex mutex_;
  std::map<rknn_context, std::shared_ptr<Object>> objects_;
};

}  // namespace rknn_ep::simulator
