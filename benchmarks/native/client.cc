// What librknn_ep.so adds to a call: rknn_api called straight from here, and
// through our C interface, in turns in one process. Counts every allocation of
// the process meanwhile.
//
//   client PROVIDER SIMULATOR BUNDLE ROUNDS CALLS
//
// Prints key=value lines: nanoseconds of CPU time of one inference (median over
// rounds) and allocations in one.
#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include "abi/rknn_api.h"
#include "runtime/rknn_ep.h"

namespace {

std::atomic<uint64_t> allocations{0};

}  // namespace

// In place of the C library's, for everything in the process; operator new
// comes here too.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);

void* malloc(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}
void* calloc(size_t count, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, size);
}
void* realloc(void* memory, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(memory, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** memory, size_t alignment, size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  *memory = __libc_memalign(alignment, size);
  return *memory == nullptr ? 12 : 0;
}
}

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

void check(int code, const char* what) {
  if (code != 0) fail(std::string(what) + " gave " + std::to_string(code));
}

template <typename Function>
Function* entry(void* library, const char* name, Function*) {
  void* const found = dlsym(library, name);
  if (found == nullptr) fail(std::string("no ") + name);
  return reinterpret_cast<Function*>(found);
}
#define ENTRY(library, name) entry(library, #name, &::name)

double cpu_nanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e9 * static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec);
}

struct Candidate {
  const char* name;
  std::function<void()> run;
  std::vector<double> samples;
  uint64_t allocated;
};

struct Memory {
  std::vector<char> bytes;
  explicit Memory(size_t size) : bytes(size) {}
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) fail("client PROVIDER SIMULATOR BUNDLE ROUNDS CALLS");
  void* const provider = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  void* const simulator = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL);
  if (provider == nullptr || simulator == nullptr) fail(dlerror());
  const int rounds = std::atoi(argv[4]), calls = std::atoi(argv[5]);

  // Straight: one context for each flow, as a board program has it.
  const auto init = ENTRY(simulator, rknn_init);
  const auto query = ENTRY(simulator, rknn_query);
  const auto inputs_set = ENTRY(simulator, rknn_inputs_set);
  const auto run = ENTRY(simulator, rknn_run);
  const auto outputs_get = ENTRY(simulator, rknn_outputs_get);
  const auto outputs_release = ENTRY(simulator, rknn_outputs_release);
  const auto create_mem = ENTRY(simulator, rknn_create_mem);
  const auto set_io_mem = ENTRY(simulator, rknn_set_io_mem);
  rknn_context copying = 0, bound = 0;
  check(init(&copying, argv[3], 0, 0, nullptr), "rknn_init");
  check(init(&bound, argv[3], 0, 0, nullptr), "rknn_init");
  rknn_input_output_num numbers{};
  check(query(copying, RKNN_QUERY_IN_OUT_NUM, &numbers, sizeof(numbers)), "rknn_query");
  if (numbers.n_input != 1 || numbers.n_output != 1) fail("a model of one input and one output is asked for");
  rknn_tensor_attr in{}, out{};
  check(query(copying, RKNN_QUERY_INPUT_ATTR, &in, sizeof(in)), "rknn_query");
  check(query(copying, RKNN_QUERY_OUTPUT_ATTR, &out, sizeof(out)), "rknn_query");
  Memory x(4 * in.n_elems), y(4 * out.n_elems);
  rknn_tensor_attr native_in{}, native_out{};
  check(query(bound, RKNN_QUERY_NATIVE_INPUT_ATTR, &native_in, sizeof(native_in)), "rknn_query");
  check(query(bound, RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR, &native_out, sizeof(native_out)), "rknn_query");
  for (rknn_tensor_attr* attr : {&native_in, &native_out}) {
    rknn_tensor_mem* const memory = create_mem(bound, std::max(attr->size, attr->size_with_stride));
    if (memory == nullptr) fail("rknn_create_mem gave nothing");
    check(set_io_mem(bound, memory, attr), "rknn_set_io_mem");
  }

  // Through our interface.
  const auto last_error = ENTRY(provider, rknn_ep_last_error);
  const auto open = ENTRY(provider, rknn_ep_executor_open);
  const auto executor_run = ENTRY(provider, rknn_ep_executor_run);
  const auto binding_open = ENTRY(provider, rknn_ep_binding_open);
  const auto binding_run = ENTRY(provider, rknn_ep_binding_run);
  void *general = nullptr, *zero_copy = nullptr, *binding = nullptr;
  if (open(argv[3], argv[2], "io_mode=general\n", &general) != 0) fail(last_error());
  if (open(argv[3], argv[2], "io_mode=zero_copy\n", &zero_copy) != 0) fail(last_error());
  if (binding_open(general, nullptr, &binding) != 0) fail(last_error());
  const void* const inputs[] = {x.bytes.data()};
  void* const outputs[] = {y.bytes.data()};
  const uint64_t input_sizes[] = {x.bytes.size()}, output_sizes[] = {y.bytes.size()};
  const auto through = [&](void* executor) {
    check(executor_run(executor, inputs, input_sizes, 1, outputs, output_sizes, 1), "rknn_ep_executor_run");
  };

  std::vector<Candidate> candidates;
  candidates.push_back({"direct",
                        [&] {
                          rknn_input input{};
                          input.buf = x.bytes.data();
                          input.size = static_cast<uint32_t>(x.bytes.size());
                          input.type = RKNN_TENSOR_FLOAT32;
                          input.fmt = in.n_dims == 4 ? RKNN_TENSOR_NCHW : RKNN_TENSOR_UNDEFINED;
                          rknn_output output{};
                          output.want_float = 1;
                          output.is_prealloc = 1;
                          output.buf = y.bytes.data();
                          output.size = static_cast<uint32_t>(y.bytes.size());
                          check(inputs_set(copying, 1, &input), "rknn_inputs_set");
                          check(run(copying, nullptr), "rknn_run");
                          check(outputs_get(copying, 1, &output, nullptr), "rknn_outputs_get");
                          check(outputs_release(copying, 1, &output), "rknn_outputs_release");
                        },
                        {},
                        0});
  candidates.push_back({"ours", [&] { through(general); }, {}, 0});
  candidates.push_back({"direct_bound", [&] { check(run(bound, nullptr), "rknn_run"); }, {}, 0});
  candidates.push_back({"ours_bound", [&] { check(binding_run(binding), "rknn_ep_binding_run"); }, {}, 0});
  candidates.push_back({"ours_zero_copy", [&] { through(zero_copy); }, {}, 0});
  for (Candidate& one : candidates) {
    for (int i = 0; i < 50; ++i) one.run();
    one.samples.reserve(static_cast<size_t>(rounds));
    const uint64_t before = allocations.load();
    for (int i = 0; i < 100; ++i) one.run();
    one.allocated = allocations.load() - before;
  }
  for (int round = 0; round < rounds; ++round) {
    for (Candidate& one : candidates) {
      const double started = cpu_nanoseconds();
      for (int i = 0; i < calls; ++i) one.run();
      one.samples.push_back((cpu_nanoseconds() - started) / calls);
    }
  }
  for (Candidate& one : candidates) {
    std::sort(one.samples.begin(), one.samples.end());
    std::printf("%s=%.1f\n%s.allocations=%.2f\n", one.name, one.samples[one.samples.size() / 2], one.name,
                static_cast<double>(one.allocated) / 100);
  }
  return 0;
}
