// The ONNX Runtime that the simulator computes with, and one session of it.
//
// Inside ONNX Runtime only the function table that the host handed in may be used: the library beside it would be a
// second runtime. Elsewhere libonnxruntime is found at run time: RKNN_EP_ONNXRUNTIME, then the usual names.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "abi/ort_api.h"
#include "bundle/archive.h"
#include "simulator/kernels/operators.h"
#include "simulator/tensor.h"

namespace rknn_ep::simulator {

struct EngineOptions {
  bool exact = false;
  int threads = 1;
};

// Where a model's external weights are: in memory that stays, or in a file that ONNX Runtime maps by itself. The file
// is the frugal way: ONNX Runtime copies weights that it is given in memory, and keeps of mapped ones only what it
// packs.
struct Weights {
  Bytes bytes;         // simulation.data
  std::string path;    // the bundle, where it is a file
  uint64_t begin = 0;  // simulation.data in that file
};

// A function table and the environment made with it.
class Engine {
 public:
  // From now on engines use this table. Null is ignored.
  static void use(const ort::OrtApi* api);
  // Throws Failure(RKNN_ERR_FAIL) where no runtime is to be had.
  static std::shared_ptr<Engine> acquire();
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  const ort::OrtApi& api() const { return *api_; }
  const ort::OrtEnv* environment() const { return environment_; }
  const ort::OrtMemoryInfo* memory() const { return memory_; }
  ort::OrtCustomOpDomain* operators() const { return operators_.get(); }
  // Takes ownership of a status; throws Failure where it is one.
  void check(ort::OrtStatus* status, int code, const char* what) const;

 private:
  explicit Engine(const ort::OrtApi* api);

  const ort::OrtApi* api_;
  ort::OrtEnv* environment_ = nullptr;
  ort::OrtMemoryInfo* memory_ = nullptr;
  OperatorDomain operators_;
};

// A tensor over memory that its owner keeps.
class Value {
 public:
  Value(std::shared_ptr<Engine> engine, void* data, size_t bytes, const std::vector<int64_t>& dims,
        ort::ONNXTensorElementDataType type);
  Value(Value&& other) noexcept;
  Value& operator=(Value&&) = delete;
  ~Value();
  ort::OrtValue* get() const { return value_; }

 private:
  std::shared_ptr<Engine> engine_;
  ort::OrtValue* value_ = nullptr;
};

// What a session may need besides its model.
struct SessionExtras {
  std::string profile_prefix;  // every layer's time goes to a file of this beginning; empty: nothing is measured
  std::vector<ort::OrtCustomOpDomain*> custom_ops;
};

// A model ready to run. `run` may be called from several threads at once. In a child of fork() only sessions of one
// thread go on: the others' threads stayed with the parent, and to wait for them would hang.
class Session {
 public:
  // `model` may go after construction; `weights.bytes` must stay unless there is a path. Throws Failure where the model
  // is damaged or its inputs and outputs are not the ones described.
  Session(std::shared_ptr<Engine> engine, const EngineOptions& options, Bytes model, const Weights& weights,
          const Description& description, const SessionExtras& extras = {});
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const std::shared_ptr<Engine>& engine() const { return engine_; }
  void run(const ort::OrtValue* const* inputs, ort::OrtValue** outputs) const;
  // With a profile prefix: ends measuring, gives the file.
  std::string end_profiling() const;

 private:
  bool lost_its_threads() const;
  void create(ort::OrtSessionOptions* options, Bytes model, const Weights& weights);
  void verify(const std::vector<Tensor>& tensors, bool inputs) const;

  std::shared_ptr<Engine> engine_;
  ort::OrtSession* session_ = nullptr;
  int threads_;
  long process_;  // the one that made it
  std::vector<std::string> names_;
  std::vector<const char*> input_names_;
  std::vector<const char*> output_names_;
};

ort::ONNXTensorElementDataType ort_type(rknn_tensor_type type);

}  // namespace rknn_ep::simulator
