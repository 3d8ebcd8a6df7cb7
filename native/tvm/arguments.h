// What TVM passes to a partition, as the executor takes it: addresses, checked against the bundle's description.
#pragma once

#include <tvm/ffi/tvm_ffi.h>

#include <memory>
#include <vector>

#include "runtime/interface.h"

namespace rknn_ep {

class Arguments {
 public:
  // Inputs, then outputs: one tensor each, in the CPU's memory, contiguous, of the bundle's types and shapes. Memory
  // that is not aligned to its elements is copied. Throws Failure.
  Arguments(const Interface& interface, tvm::ffi::PackedArgs given);

  const void* const* inputs() const { return inputs_.data(); }
  void* const* outputs() const { return outputs_.data(); }

  // Called after the run: brings outputs that were computed elsewhere to their place.
  void finish() const;

 private:
  struct Moved {
    void* destination;
    std::unique_ptr<char[]> copy;
    size_t bytes;
  };

  static void* address(const TensorSpec& spec, const Interface& interface, const tvm::ffi::AnyView& argument);
  void* aligned(void* data, const TensorSpec& spec, bool output);

  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
  std::vector<Moved> moved_outputs_;
  std::vector<std::unique_ptr<char[]>> moved_inputs_;
};

}  // namespace rknn_ep
