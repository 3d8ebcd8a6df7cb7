#include "runtime/core_masks.h"

#include <algorithm>
#include <cstdlib>

#include "runtime/failure.h"

namespace rknn_ep {
namespace {

int64_t parse(const std::string& text) {
  if (text == "all") return RKNN_NPU_CORE_ALL;
  char* end = nullptr;
  const long mask = std::strtol(text.c_str(), &end, 0);
  if (text.empty() || *end != '\0' || mask < 0 || mask > RKNN_NPU_CORE_ALL) {
    throw Failure("option 'core_mask' is auto, all or a bit mask such as 0x7, not '" + text + "'");
  }
  return mask;
}

[[noreturn]] void refuse(int64_t mask, int code, const Interface& interface) {
  std::string valid;
  for (const int64_t one : interface.core_masks) valid += (valid.empty() ? "" : ", ") + std::to_string(one);
  throw Failure("option core_mask=" + (mask == RKNN_NPU_CORE_ALL ? "all" : std::to_string(mask)) + ": " +
                rknn_error("rknn_set_core_mask", code) + "; " + interface.target +
                (valid.empty() ? " has a single core: leave core_mask out" : " takes " + valid));
}

}  // namespace

CoreMasks CoreMasks::read(const std::string& option, const Interface& interface, const NpuContext& context,
                          size_t count) {
  CoreMasks masks;
  masks.asked_ = option != "auto";
  int64_t cores = 0;  // that the SoC has, a bit each
  for (const int64_t one : interface.core_masks) cores |= one;
  int64_t mask = cores;
  if (masks.asked_) {
    mask = parse(option);
    const int code = context.set_core_mask(mask);
    if (code != RKNN_SUCC) refuse(mask, code, interface);
    if (mask == RKNN_NPU_CORE_ALL && cores != 0) mask = cores;
    if (mask == RKNN_NPU_CORE_AUTO || count == 1) masks.masks_ = {parse(option)};
  }
  if (count == 1 || mask == RKNN_NPU_CORE_AUTO) return masks;
  for (int64_t core = 1; core <= mask && core <= 0x80; core <<= 1) {
    if ((mask & core) != 0) masks.masks_.push_back(core);
  }
  return masks;
}

void CoreMasks::apply(const NpuContext& context, size_t index) const {
  if (masks_.empty()) return;
  const int code = context.set_core_mask(masks_[index % masks_.size()]);
  if (asked_) context.check("rknn_set_core_mask", code);
}

}  // namespace rknn_ep
