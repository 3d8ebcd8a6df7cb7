// Memory of the device that is bound to one input or output of a context, once and for good.
#pragma once

#include <cstdint>
#include <memory>

#include "runtime/flow.h"

namespace rknn_ep {

class IoMemory {
 public:
  // Allocates what `attr` needs, zeroed, and binds it. Throws Failure.
  IoMemory(rknn_context context, const Calls& calls, const rknn_tensor_attr& attr, uint32_t bytes);

  void* address() const { return memory_->virt_addr; }
  uint32_t bytes() const { return memory_->size; }
  // Of the dma-buf; negative where the runtime names none.
  int32_t descriptor() const { return memory_->fd; }
  const rknn_tensor_attr& attr() const { return attr_; }

 private:
  // Gives memory back, except in a forked process: there it belongs to the parent.
  struct Release {
    const RknnLibrary* library;
    rknn_context context;
    uint64_t generation;
    void operator()(rknn_tensor_mem* memory) const;
  };

  rknn_tensor_attr attr_;
  std::unique_ptr<rknn_tensor_mem, Release> memory_;
};

// What rknn_query says about an input or output. Throws Failure.
rknn_tensor_attr query_attr(rknn_context context, const Calls& calls, rknn_query_cmd command, size_t index);

}  // namespace rknn_ep
