// One rknn_context: loading a model into it, or sharing the weights of another.
#pragma once

#include <memory>
#include <string>

#include "bundle/key_values.h"
#include "runtime/executor.h"
#include "runtime/library.h"

namespace rknn_ep {

class NpuContext : public std::enable_shared_from_this<NpuContext> {
 public:
  // Throws Failure. `simulation` are the simulator's options.
  static std::shared_ptr<NpuContext> open(const BundleSource& model, const RknnLibrary& library,
                                          const KeyValues& options, const void* ort_api);

  // A second context on the same weights; where the library or the SoC cannot share them, or `shares` says that the
  // model must not be asked to (rknn_dup_context refuses models of several input shapes), the model loaded once more.
  std::shared_ptr<NpuContext> another(bool shares) const;

  // Not in a forked process: the device belongs to the parent there.
  ~NpuContext();
  NpuContext(const NpuContext&) = delete;
  NpuContext& operator=(const NpuContext&) = delete;

  rknn_context handle() const { return handle_; }
  const RknnLibrary& library() const { return model_->library; }
  bool shares_weights() const { return parent_ != nullptr; }

  // Brings a model of several input shapes to one of them: that of `border`'s inputs. Throws Failure.
  void set_input_shapes(const Interface& border) const;

  // What rknn_set_core_mask says; RKNN_ERR_FAIL where the library has no such function.
  int set_core_mask(int64_t mask) const noexcept;

  // Throws Failure, naming what was loaded, for every code but RKNN_SUCC.
  void check(const char* function, int code) const;

 private:
  // What is needed to load the model once more.
  struct Model {
    BundleSource bundle;
    const RknnLibrary& library;
    KeyValues options;
    const void* ort_api;
  };

  explicit NpuContext(std::shared_ptr<const Model> model);
  void load();
  Bytes model_bytes() const;

  std::shared_ptr<const Model> model_;
  std::shared_ptr<const NpuContext> parent_;  // whose weights these are: it goes last
  rknn_context handle_ = 0;
  bool opened_ = false;
  uint64_t generation_;
};

}  // namespace rknn_ep
