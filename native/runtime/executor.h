// Runs one partition: takes the addresses of its inputs and outputs and fills the outputs. Any number of threads may
// call run() at once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bundle/archive.h"
#include "bundle/key_values.h"
#include "runtime/interface.h"

namespace rknn_ep {

class Binding;

class Executor {
 public:
  explicit Executor(Interface interface) { shapes_.push_back(std::move(interface)); }
  // A model of several input shapes, the default first.
  explicit Executor(std::vector<Interface> shapes) : shapes_(std::move(shapes)) {}
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // `shape`: which choice of input shapes, below shapes(); most models have one.
  size_t shapes() const { return shapes_.size(); }
  const Interface& interface(size_t shape = 0) const { return shapes_[shape]; }

  // One address for each of interface(shape).inputs and outputs, each with exactly its `bytes`. Throws Failure.
  virtual void run(const void* const* inputs, void* const* outputs, size_t shape = 0) = 0;

  // Inputs in types and layouts of the caller's. Throws Failure, also where this executor takes its own alone.
  virtual void run_inputs(const rknn_input* inputs, void* const* outputs, size_t shape = 0);

  // Refuses runs from now on and gives the device back, once the runs under way are done. May be called again.
  virtual void shut_down() noexcept {}

  // Memory that device and caller share, for one inference at a time. Throws Failure where there is no such memory.
  // `options`: see rknn_ep_binding_open.
  virtual std::unique_ptr<Binding> bind(const KeyValues& options, size_t shape = 0);

  // What there is to know about it, as key=value pairs: see rknn_ep_executor_describe.
  virtual KeyValues describe(size_t shape = 0);

 private:
  std::vector<Interface> shapes_;
};

// Where a model's bytes are: a bundle, or a file that the device's runtime reads itself (.rknn).
struct BundleSource {
  std::string path;                          // of a file, or of nothing where the bytes came another way
  std::shared_ptr<const Archive> archive;    // null: not a bundle
  std::shared_ptr<const void> memory_owner;  // keeps the archive's memory alive where it is not a mapped file
  std::string target = {};                   // SoC to run on, of those that a bundle serves; empty: the planned one

  // A file of the vendor's format is not opened here: rknn_init does.
  static BundleSource open_file(const std::string& path);
  static BundleSource open_memory(const void* data, size_t size, std::shared_ptr<const void> owner,
                                  const std::string& origin);

  bool is_bundle() const { return archive != nullptr; }
  // Reads native.txt of a bundle, as it holds on `target`. Throws Failure where there is none.
  Interface interface() const;
  // The same for every choice of input shapes.
  std::vector<Interface> interfaces() const;
  std::string origin() const { return path.empty() ? "the embedded bundle" : path; }
};

// Opens a partition on a library that implements rknn_api.
//   library   absolute path, or a name for the system's search path
//   options   the session's options; read here: target, core_mask, contexts, io_mode, simulation,
//             simulation_threads. Without a target a bundle that serves several SoCs is run for the one that this is
//   ort_api   the OrtApi of the hosting ONNX Runtime, for the simulator; null elsewhere
// Throws Failure.
std::unique_ptr<Executor> open_rknn_executor(BundleSource bundle, const std::string& library, const KeyValues& options,
                                             const void* ort_api);

// A Python object as executor. `run` gives 0, or another number with its reason through rknn_ep_set_last_error;
// `close` is called once at the end.
using PythonRun = int (*)(int64_t id, const void* const* inputs, void* const* outputs);
using PythonClose = void (*)(int64_t id);
std::unique_ptr<Executor> open_python_executor(Interface interface, int64_t id, PythonRun run, PythonClose close);

}  // namespace rknn_ep
