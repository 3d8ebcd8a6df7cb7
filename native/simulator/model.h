// A bundle loaded into the simulator: shared by a context and its duplicates.
#pragma once

#include <memory>
#include <shared_mutex>
#include <string>
#include <vector>

#include "bundle/archive.h"
#include "simulator/custom_ops.h"
#include "simulator/engine.h"
#include "simulator/tensor.h"

namespace rknn_ep::simulator {

struct LoadOptions {
  EngineOptions engine;
  std::string target;         // SoC, of those that a bundle serves; empty: RKNN_EP_SIMULATED_SOC, else its own
  bool info_only = false;     // no session: only rknn_query
  bool stays = false;         // a bundle in memory outlives the model, so that its weights need not be copied
  bool keeps_bundle = false;  // what profile() needs
  uint64_t offset = 0;        // where the bundle begins in the file or memory
  uint64_t size = 0;          // bytes of it; 0: all the rest
};

class Model {
 public:
  // Reads a bundle where it lies; for a vendor .rknn, its companion.
  static std::shared_ptr<Model> from_file(const std::string& path, const LoadOptions& options);
  static std::shared_ptr<Model> from_memory(const void* data, size_t size, const LoadOptions& options);

  // How many choices of input shapes there are: one, unless it was compiled for several. The first is the largest.
  size_t shapes() const { return plans_.size(); }
  const Description& description(size_t shape = 0) const { return plans_[shape].description; }
  // Made when it is first asked for, but for the first shape's. Throws Failure where there is none: the model was
  // loaded for information, or waits for custom operators.
  const Session& session(size_t shape = 0) const;
  // Checksums of what is simulated: equal for two loads of one bundle with the same options.
  const std::string& identity() const { return identity_; }

  // Gives the model the operators that it waits for; where it waits for none, nothing happens. Throws Failure.
  void register_custom_ops(const rknn_custom_op* ops, uint32_t count);

  // A session that measures every layer, for one run; with RKNN_FLAG_COLLECT_PERF_MASK.
  std::unique_ptr<Session> profiled(const std::string& file_prefix, size_t shape) const;

 private:
  // The model at one choice of input shapes.
  struct Plan {
    Description description;
    Bytes onnx;
    std::vector<uint8_t> kept_onnx;  // where the bundle does not stay
    std::unique_ptr<Session> session;
  };

  Model() = default;
  static std::shared_ptr<Model> read(std::shared_ptr<const Archive> archive, const std::string& path,
                                     const LoadOptions& options);
  void load(const std::string& path, const LoadOptions& options);
  Plan read_plan(size_t shape, const std::string& soc);
  std::unique_ptr<Session> make_session(const Plan& plan, const SessionExtras& extras) const;
  Bytes copied(Bytes weights);

  std::shared_ptr<const Archive> archive_;  // while loading; longer where options.keeps_bundle
  std::unique_ptr<uint8_t[], void (*)(void*)> copy_{nullptr, nullptr};
  EngineOptions engine_;
  bool info_only_ = false;
  Weights weights_;
  std::string identity_;
  std::vector<CustomNode> custom_nodes_;
  std::unique_ptr<CustomOps> custom_ops_;  // outlives the sessions
  mutable std::vector<Plan> plans_;        // their sessions come when they are needed
  mutable std::shared_mutex mutex_;        // of sessions that come late
};

}  // namespace rknn_ep::simulator
