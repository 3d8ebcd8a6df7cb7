#include "runtime/io_memory.h"

#include <cstring>

#include "runtime/failure.h"
#include "runtime/fork.h"

namespace rknn_ep {

void IoMemory::Release::operator()(rknn_tensor_mem* memory) const {
  if (!forked_since(generation)) library->destroy_mem(context, memory);
}

IoMemory::IoMemory(rknn_context context, const Calls& calls, const rknn_tensor_attr& attr, uint32_t bytes)
    : attr_(attr),
      memory_(calls.library.create_mem(context, bytes), Release{&calls.library, context, fork_generation()}) {
  if (memory_ == nullptr || memory_->virt_addr == nullptr) {
    throw Failure("partition " + calls.interface.partition + ": rknn_create_mem gave no " + std::to_string(bytes) +
                  " bytes for '" + attr.name + "' in " + calls.library.name +
                  "\n  Memory ran out: fewer contexts, a smaller model, or close other programs.");
  }
  std::memset(memory_->virt_addr, 0, bytes);  // padding is never written again
  calls.check("rknn_set_io_mem", calls.library.set_io_mem(context, memory_.get(), &attr_));
}

rknn_tensor_attr query_attr(rknn_context context, const Calls& calls, rknn_query_cmd command, size_t index) {
  rknn_tensor_attr attr{};
  attr.index = static_cast<uint32_t>(index);
  calls.check("rknn_query", calls.library.query(context, command, &attr, sizeof(attr)));
  return attr;
}

}  // namespace rknn_ep
