// The exported functions of memory that a program shares with the device.
#include <memory>

#include "abi/rknn_api.h"
#include "simulator/context.h"
#include "simulator/export.h"
#include "simulator/guard.h"
#include "simulator/matmul.h"
#include "simulator/registry.h"

namespace rknn_ep::simulator {
namespace {

constexpr uint64_t kLargest = UINT32_MAX - 64;  // rknn_tensor_mem counts in 32 bits
constexpr uint64_t kKnownAllocation = RKNN_FLAG_MEMORY_CACHEABLE | RKNN_FLAG_MEMORY_NON_CACHEABLE |
                                      RKNN_FLAG_MEMORY_TRY_ALLOC_SRAM | RKNN_MEM_FLAG_ALLOC_NO_CONTEXT;

// Memory is made for a context of either kind.
void require_context(rknn_context context) {
  if (!Registry<Matmul>::instance().has(context)) Registry<Context>::instance().find(context);
}

void check_size(uint64_t size) {
  if (size == 0 || size > kLargest) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "memory of " + std::to_string(size) + " bytes");
  }
}

rknn_tensor_mem* made(const char* function, rknn_context context, uint64_t size, uint64_t flags) {
  rknn_tensor_mem* handle = nullptr;
  guarded(function, [&] {
    if (flags & ~kKnownAllocation) {
      throw Failure(RKNN_ERR_PARAM_INVALID, "alloc_flags " + std::to_string(flags) + " has unknown bits");
    }
    if (!(flags & RKNN_MEM_FLAG_ALLOC_NO_CONTEXT)) require_context(context);
    check_size(size);
    handle = keep(flags & RKNN_MEM_FLAG_ALLOC_NO_CONTEXT ? 0 : context, Memory::allocate(size));
  });
  return handle;
}

rknn_tensor_mem* refused(const char* function, rknn_context context, const char* reason) {
  guarded(function, [&] {
    require_context(context);
    throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, reason);
  });
  return nullptr;
}

std::shared_ptr<Context> context_of(rknn_context handle) { return Registry<Context>::instance().find(handle); }

}  // namespace
}  // namespace rknn_ep::simulator

using namespace rknn_ep::simulator;

extern "C" {

RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem(rknn_context ctx, uint32_t size) {
  return made("rknn_create_mem", ctx, size, RKNN_FLAG_MEMORY_FLAGS_DEFAULT);
}

RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem2(rknn_context ctx, uint64_t size, uint64_t alloc_flags) {
  return made("rknn_create_mem2", ctx, size, alloc_flags);
}

RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem_from_fd(rknn_context ctx, int32_t fd, void* virt_addr, uint32_t size,
                                                        int32_t offset) {
  rknn_tensor_mem* handle = nullptr;
  guarded("rknn_create_mem_from_fd", [&] {
    require_context(ctx);
    if (!Registry<Matmul>::instance().has(ctx)) {
      const Soc& soc = Registry<Context>::instance().find(ctx)->soc();
      if (soc.name == "rk2118") {
        throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, "rk2118 has no rknn_create_mem_from_fd");
      }
    }
    check_size(size);
    handle = keep(ctx, Memory::from_descriptor(fd, virt_addr, size, offset));
  });
  return handle;
}

RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem_from_phys(rknn_context ctx, uint64_t, void*, uint32_t) {
  return refused("rknn_create_mem_from_phys", ctx,
                 "a program on a PC has no physical addresses: take rknn_create_mem or rknn_create_mem_from_fd");
}

RKNN_EP_EXPORT rknn_tensor_mem* rknn_create_mem_from_mb_blk(rknn_context ctx, void*, int32_t) {
  return refused("rknn_create_mem_from_mb_blk", ctx, "no SoC has it (API reference, table 4-1)");
}

RKNN_EP_EXPORT int rknn_destroy_mem(rknn_context ctx, rknn_tensor_mem* mem) {
  return guarded("rknn_destroy_mem", [&] {
    require_context(ctx);
    const std::shared_ptr<Memory> memory = take_memory(mem);
    Registry<Context>::instance().each([&](Context& context) { context.unbind(*memory); });
    Registry<Matmul>::instance().each([&](Matmul& matmul) { matmul.unbind(*memory); });
  });
}

RKNN_EP_EXPORT int rknn_set_weight_mem(rknn_context ctx, rknn_tensor_mem* mem) {
  return guarded("rknn_set_weight_mem", [&] { context_of(ctx)->set_weight_memory(find_memory(mem)); });
}

RKNN_EP_EXPORT int rknn_set_internal_mem(rknn_context ctx, rknn_tensor_mem* mem) {
  return guarded("rknn_set_internal_mem", [&] { context_of(ctx)->set_internal_memory(find_memory(mem)); });
}

RKNN_EP_EXPORT int rknn_set_io_mem(rknn_context ctx, rknn_tensor_mem* mem, rknn_tensor_attr* attr) {
  return guarded("rknn_set_io_mem", [&] {
    const std::shared_ptr<Context> context = context_of(ctx);
    if (!attr) throw Failure(RKNN_ERR_PARAM_INVALID, "attr is null");
    context->bind(find_memory(mem), *attr);
  });
}

// Host and simulated device see the same memory: there is nothing to flush.
RKNN_EP_EXPORT int rknn_mem_sync(rknn_context context, rknn_tensor_mem* mem, rknn_mem_sync_mode mode) {
  return guarded("rknn_mem_sync", [&] {
    require_context(context);
    find_memory(mem);
    if (raw(mode) < RKNN_MEMORY_SYNC_TO_DEVICE || raw(mode) > RKNN_MEMORY_SYNC_BIDIRECTIONAL) {
      throw Failure(RKNN_ERR_PARAM_INVALID, "mode " + std::to_string(raw(mode)) + " is no rknn_mem_sync_mode");
    }
  });
}

}  // extern "C"
