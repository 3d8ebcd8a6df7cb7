// Memory that a program and the simulated device share: what rknn_create_mem and its kin make.
//
// The structure that the program holds is its own to write on; what counts is kept here, found by the structure's
// address, so that a damaged or foreign one is refused instead of followed.
#pragma once

#include <cstdint>
#include <memory>

#include "abi/rknn_api.h"

namespace rknn_ep::simulator {

class Memory {
 public:
  // Memory of our own, with a descriptor that other processes and rknn_create_mem_from_fd can map.
  static std::shared_ptr<Memory> allocate(uint64_t size);
  // Bytes [offset, offset + size) behind a descriptor: memfd, dma-buf, a file. `address` is where the program has
  // mapped it and is handed back; the descriptor stays the program's. Throws Failure where it cannot be mapped.
  static std::shared_ptr<Memory> from_descriptor(int fd, void* address, uint64_t size, int64_t offset);

  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  uint8_t* data() const { return data_; }
  uint64_t size() const { return size_; }
  rknn_tensor_mem* handle() { return &handle_; }

 private:
  Memory() = default;

  rknn_tensor_mem handle_{};
  uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
  void* mapping_ = nullptr;  // null: data_ came from the heap
  uint64_t mapped_ = 0;
  int descriptor_ = -1;  // closed with the memory
};

// All memory of the process, with the context it was made for.
rknn_tensor_mem* keep(rknn_context owner, std::shared_ptr<Memory> memory);
// Throws Failure(RKNN_ERR_PARAM_INVALID) for null, for what was never made here and for what was given back.
std::shared_ptr<Memory> find_memory(const rknn_tensor_mem* handle);
std::shared_ptr<Memory> take_memory(const rknn_tensor_mem* handle);
// Gives back what a context still had.
void drop_memory_of(rknn_context owner);

}  // namespace rknn_ep::simulator
