#include "simulator/memory.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

struct Owned {
  rknn_context owner = 0;
  std::shared_ptr<Memory> memory;
};

struct Table {
  std::mutex mutex;
  std::map<const rknn_tensor_mem*, Owned> entries;
};

// Never destroyed: a program may hold memory when it exits.
Table& table() {
  static Table* const instance = new Table;
  return *instance;
}

uint64_t page_size() { return static_cast<uint64_t>(::sysconf(_SC_PAGESIZE)); }

[[noreturn]] void unknown(const rknn_tensor_mem* handle) {
  throw Failure(RKNN_ERR_PARAM_INVALID,
                handle ? "mem was not made by rknn_create_mem, or was destroyed" : "mem is null");
}

}  // namespace

std::shared_ptr<Memory> Memory::allocate(uint64_t size) {
  std::shared_ptr<Memory> memory(new Memory);
  memory->size_ = size;
  memory->descriptor_ = ::memfd_create("rknn_ep", MFD_CLOEXEC);
  if (memory->descriptor_ >= 0 && ::ftruncate(memory->descriptor_, static_cast<off_t>(size)) == 0) {
    void* mapping = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory->descriptor_, 0);
    if (mapping != MAP_FAILED) {
      memory->mapping_ = mapping;
      memory->mapped_ = size;
      memory->data_ = static_cast<uint8_t*>(mapping);
    }
  }
  if (!memory->data_) {  // out of descriptors: plain memory serves this process
    memory->data_ = static_cast<uint8_t*>(std::aligned_alloc(64, (size + 63) / 64 * 64));
    if (!memory->data_) throw std::bad_alloc();
    std::memset(memory->data_, 0, size);
  }
  memory->handle_ = {memory->data_,
                     0,
                     memory->mapping_ ? memory->descriptor_ : -1,
                     0,
                     static_cast<uint32_t>(size),
                     RKNN_TENSOR_MEMORY_FLAGS_ALLOC_INSIDE,
                     nullptr};
  return memory;
}

std::shared_ptr<Memory> Memory::from_descriptor(int fd, void* address, uint64_t size, int64_t offset) {
  struct stat status{};
  if (fd < 0 || ::fstat(fd, &status) != 0) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "descriptor " + std::to_string(fd) + " is not open");
  }
  // dma-bufs tell their size by seeking, not by stat.
  const int64_t end = status.st_size > 0 ? status.st_size : ::lseek(fd, 0, SEEK_END);
  if (offset < 0 || end < offset || static_cast<uint64_t>(end - offset) < size) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "descriptor " + std::to_string(fd) + " holds " + std::to_string(end) +
                                              " bytes, which are fewer than offset " + std::to_string(offset) +
                                              " and size " + std::to_string(size));
  }
  std::shared_ptr<Memory> memory(new Memory);
  const uint64_t start = static_cast<uint64_t>(offset) / page_size() * page_size();
  const uint64_t lead = static_cast<uint64_t>(offset) - start;
  void* mapping = ::mmap(nullptr, lead + size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, static_cast<off_t>(start));
  if (mapping == MAP_FAILED) {
    if (errno == ENOMEM) throw std::bad_alloc();
    throw Failure(RKNN_ERR_PARAM_INVALID,
                  "descriptor " + std::to_string(fd) + " cannot be mapped: " + std::strerror(errno));
  }
  memory->mapping_ = mapping;
  memory->mapped_ = lead + size;
  memory->data_ = static_cast<uint8_t*>(mapping) + lead;
  memory->size_ = size;
  // The program's own mapping, or ours; either shows the same bytes.
  void* seen = address ? address : static_cast<void*>(memory->data_);
  memory->handle_ = {
      seen,   0, fd, static_cast<int32_t>(offset), static_cast<uint32_t>(size), RKNN_TENSOR_MEMORY_FLAGS_FROM_FD,
      nullptr};
  return memory;
}

Memory::~Memory() {
  if (mapping_) {
    ::munmap(mapping_, mapped_);
  } else {
    std::free(data_);
  }
  if (descriptor_ >= 0) ::close(descriptor_);
}

rknn_tensor_mem* keep(rknn_context owner, std::shared_ptr<Memory> memory) {
  rknn_tensor_mem* handle = memory->handle();
  const std::lock_guard<std::mutex> lock(table().mutex);
  table().entries[handle] = {owner, std::move(memory)};
  return handle;
}

std::shared_ptr<Memory> find_memory(const rknn_tensor_mem* handle) {
  const std::lock_guard<std::mutex> lock(table().mutex);
  const auto found = table().entries.find(handle);
  if (!handle || found == table().entries.end()) unknown(handle);
  return found->second.memory;
}

std::shared_ptr<Memory> take_memory(const rknn_tensor_mem* handle) {
  const std::lock_guard<std::mutex> lock(table().mutex);
  const auto found = table().entries.find(handle);
  if (!handle || found == table().entries.end()) unknown(handle);
  std::shared_ptr<Memory> memory = std::move(found->second.memory);
  table().entries.erase(found);
  return memory;
}

void drop_memory_of(rknn_context owner) {
  std::vector<std::shared_ptr<Memory>> dropped;  // unmapped after the lock is gone
  const std::lock_guard<std::mutex> lock(table().mutex);
  for (auto entry = table().entries.begin(); entry != table().entries.end();) {
    if (entry->second.owner == owner) {
      dropped.push_back(std::move(entry->second.memory));
      entry = table().entries.erase(entry);
    } else {
      ++entry;
    }
  }
}

}  // namespace rknn_ep::simulator
