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

namespace {

// The same question about the shape that was set. NHWC has no command of its own there.
rknn_query_cmd current(rknn_query_cmd command) {
  switch (command) {
    case RKNN_QUERY_INPUT_ATTR:
    case RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR:
      return RKNN_QUERY_CURRENT_INPUT_ATTR;
    case RKNN_QUERY_OUTPUT_ATTR:
    case RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR:
      return RKNN_QUERY_CURRENT_OUTPUT_ATTR;
    case RKNN_QUERY_NATIVE_INPUT_ATTR:
      return RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR;
    case RKNN_QUERY_NATIVE_OUTPUT_ATTR:
      return RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR;
    default:
      return command;
  }
}

}  // namespace

rknn_tensor_attr query_attr(rknn_context context, const Calls& calls, rknn_query_cmd command, size_t index) {
  rknn_tensor_attr attr{};
  attr.index = static_cast<uint32_t>(index);
  if (calls.dynamic) command = current(command);
  calls.check("rknn_query", calls.library.query(context, command, &attr, sizeof(attr)));
  return attr;
}

}  // namespace rknn_ep
