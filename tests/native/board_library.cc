// A librknnrt.so as it is found on boards, for tests of the client: not the
// simulator (it has none of its private entries), so that bundles give it their
// <target>.rknn. It forwards to the library that BOARD_LIBRARY_FORWARDS names
// and keeps account of what the client does. What older versions and other
// boards lack or refuse is chosen when it is compiled:
//   -DWITHOUT_DUP        no rknn_dup_context, rknn_create_mem2 and
//   rknn_set_core_mask -DONLY_COPYING       no zero-copy functions
//   -DINIT_GIVES=-3      rknn_init refuses
//   -DNOTHING            not an implementation of rknn_api at all
#include <dlfcn.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "abi/rknn_api.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

std::mutex mutex;
std::map<std::string, uint64_t> counts;

void count(const char* name) {
  const std::lock_guard<std::mutex> lock(mutex);
  ++counts[name];
}

template <typename Function>
Function* real(const char* name, Function*) {
  static void* const library = dlopen(std::getenv("BOARD_LIBRARY_FORWARDS"), RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function*>(library == nullptr ? nullptr : dlsym(library, name));
}

std::atomic<const void*> last_input{nullptr};
std::atomic<const void*> last_output{nullptr};
std::atomic<uint32_t> last_size{0};
std::atomic<int> last_mask{-1};
std::atomic<int> running{0};
std::atomic<int> most_running{0};

}  // namespace

#define FORWARD(name, ...)                           \
  count(#name);                                      \
  static const auto function = real(#name, &::name); \
  return function(__VA_ARGS__)

// What was seen, for the test.
EXPORT uint64_t board_count(const char* name) {
  const std::lock_guard<std::mutex> lock(mutex);
  return counts[name];
}
EXPORT const void* board_last_input() { return last_input; }
EXPORT const void* board_last_output() { return last_output; }
EXPORT uint32_t board_model_size() { return last_size; }
EXPORT int board_most_running() { return most_running.exchange(0); }
EXPORT int board_last_mask() { return last_mask; }

#ifndef NOTHING
EXPORT int rknn_init(rknn_context* context, void* model, uint32_t size, uint32_t flag, rknn_init_extend* extend) {
  last_size = size;
#ifdef INIT_GIVES
  count("rknn_init");
  return (void)context, (void)model, (void)flag, (void)extend, INIT_GIVES;
#else
  FORWARD(rknn_init, context, model, size, flag, extend);
#endif
}
EXPORT int rknn_destroy(rknn_context context) { FORWARD(rknn_destroy, context); }
EXPORT int rknn_query(rknn_context context, rknn_query_cmd command, void* info, uint32_t size) {
  FORWARD(rknn_query, context, command, info, size);
}
EXPORT int rknn_run(rknn_context context, rknn_run_extend* extend) {
  struct Inside {
    Inside() {
      const int now = ++running;
      int most = most_running;
      while (most < now && !most_running.compare_exchange_weak(most, now)) {
      }
    }
    ~Inside() { --running; }
  } inside;
  FORWARD(rknn_run, context, extend);
}
EXPORT int rknn_inputs_set(rknn_context context, uint32_t number, rknn_input inputs[]) {
  last_input = inputs[0].buf;
  FORWARD(rknn_inputs_set, context, number, inputs);
}
EXPORT int rknn_outputs_get(rknn_context context, uint32_t number, rknn_output outputs[], rknn_output_extend* extend) {
  last_output = outputs[0].is_prealloc != 0 ? outputs[0].buf : nullptr;
  FORWARD(rknn_outputs_get, context, number, outputs, extend);
}
EXPORT int rknn_outputs_release(rknn_context context, uint32_t number, rknn_output outputs[]) {
  FORWARD(rknn_outputs_release, context, number, outputs);
}
#ifndef WITHOUT_DUP
EXPORT int rknn_dup_context(rknn_context* in, rknn_context* out) { FORWARD(rknn_dup_context, in, out); }
EXPORT int rknn_set_core_mask(rknn_context context, rknn_core_mask mask) {
  last_mask = mask;
  FORWARD(rknn_set_core_mask, context, mask);
}
EXPORT rknn_tensor_mem* rknn_create_mem2(rknn_context context, uint64_t size, uint64_t flags) {
  FORWARD(rknn_create_mem2, context, size, flags);
}
#endif
#ifndef ONLY_COPYING
EXPORT rknn_tensor_mem* rknn_create_mem(rknn_context context, uint32_t size) {
  FORWARD(rknn_create_mem, context, size);
}
EXPORT int rknn_destroy_mem(rknn_context context, rknn_tensor_mem* memory) {
  FORWARD(rknn_destroy_mem, context, memory);
}
EXPORT int rknn_set_io_mem(rknn_context context, rknn_tensor_mem* memory, rknn_tensor_attr* attr) {
  FORWARD(rknn_set_io_mem, context, memory, attr);
}
#endif
#endif
