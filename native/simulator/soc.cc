#include "simulator/soc.h"

#include <algorithm>
#include <cstdlib>

#include "abi/rknn_api.h"
#include "simulator/failure.h"

namespace rknn_ep::simulator {
namespace {

bool one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

int Soc::cores() const {
  int64_t all = 1;
  for (const int64_t mask : core_masks) all |= mask & 0xff;
  return __builtin_popcountll(static_cast<unsigned long long>(all));
}

uint32_t Soc::width_alignment() const { return one_of(name, {"rk3566", "rk3568"}) ? 8 : 16; }

uint32_t Soc::channel_block(size_t element_bytes) const {
  const uint32_t bytes = one_of(name, {"rk3566", "rk3568"}) ? 8 : 16;
  return std::max<uint32_t>(1, bytes / static_cast<uint32_t>(std::max<size_t>(1, element_bytes)));
}

void Soc::require_large(const char* function) const {
  if (zero_copy_only()) {
    throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, std::string(function) + " is not for " + name +
                                                        ", which has the zero-copy functions alone: "
                                                        "rknn_create_mem, rknn_set_io_mem, rknn_run");
  }
}

void Soc::check_core_mask(int64_t mask) const {
  if (!several_cores()) {
    throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, name + " has a single core: a core mask is not for it");
  }
  const bool known = std::find(core_masks.begin(), core_masks.end(), mask) != core_masks.end();
  if (!known && mask != RKNN_NPU_CORE_AUTO && mask != RKNN_NPU_CORE_ALL) {
    throw Failure(RKNN_ERR_PARAM_INVALID, name + " has no cores for mask " + std::to_string(mask));
  }
}

Soc Soc::named(const std::string& name) {
  Soc soc;
  soc.name = name;
  if (name == "rk3588") {
    soc.core_masks = {0, 1, 2, 4, 3, 7};
  } else if (name == "rk3576") {
    soc.core_masks = {0, 1, 2, 3};
  } else if (one_of(name, {"rv1103", "rv1103b", "rv1106", "rv1106b", "rk2118"})) {
    soc.copying_api = false;
  } else if (!one_of(name, {"rk3562", "rk3566", "rk3568", "rv1126b"})) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "RKNN_EP_SIMULATED_SOC: no SoC is called '" + name + "'");
  }
  return soc;
}

std::string simulated_soc() {
  const char* name = std::getenv("RKNN_EP_SIMULATED_SOC");
  return name ? name : "";
}

}  // namespace rknn_ep::simulator
