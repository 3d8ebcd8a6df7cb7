// Which functions of rknn_api a SoC has: tables 4-1 and 4-2 of the API reference (SDK 2.3.2).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rknn_ep::simulator {

// The SoC as far as programs can see it.
struct Soc {
  std::string name;
  std::vector<int64_t> core_masks;  // empty: rknn_set_core_mask is refused
  bool copying_api = true;          // rknn_inputs_set and rknn_outputs_get exist

  // RV1103, RV1106, their B variants and RK2118.
  bool zero_copy_only() const { return !copying_api; }
  bool several_cores() const { return !core_masks.empty(); }
  int cores() const;
  // Elements to which the width of an NHWC input is padded in device memory.
  uint32_t width_alignment() const;
  // Channels in the innermost dimension of NC1HWC2 for an element of that many bytes.
  uint32_t channel_block(size_t element_bytes) const;

  // Throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH) that names the SoC, Failure(RKNN_ERR_PARAM_INVALID) for a mask
  // that names cores it has not.
  void require_large(const char* function) const;
  void check_core_mask(int64_t mask) const;

  // A SoC by name, without a model. Throws Failure(RKNN_ERR_PARAM_INVALID) where it is none.
  static Soc named(const std::string& name);
};

// RKNN_EP_SIMULATED_SOC: the SoC that a program believes to run on. Empty: every bundle brings its own.
std::string simulated_soc();

}  // namespace rknn_ep::simulator
