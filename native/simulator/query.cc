// rknn_query: what a context tells about its model.
#include <algorithm>
#include <cstring>
#include <string>

#include "simulator/context.h"
#include "simulator/failure.h"

#ifndef RKNN_EP_VERSION
#define RKNN_EP_VERSION "development"
#endif

namespace rknn_ep::simulator {
namespace {

template <typename Info>
Info& as(void* info, uint32_t size) {
  if (!info || size < sizeof(Info)) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "info has " + std::to_string(info ? size : 0) + " bytes, this query fills " +
                                              std::to_string(sizeof(Info)));
  }
  return *static_cast<Info*>(info);
}

template <size_t size>
void copy_text(char (&to)[size], const std::string& from) {
  std::memset(to, 0, size);
  std::memcpy(to, from.data(), std::min(from.size(), size - 1));
}

void fill_attributes(rknn_tensor_attr& attr, const std::vector<Tensor>& tensors, bool is_input, AttributeKind kind,
                     const Soc& soc) {
  if (attr.index >= tensors.size()) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "index " + std::to_string(attr.index) + " of " +
                                              std::to_string(tensors.size()) + (is_input ? " inputs" : " outputs"));
  }
  attr = attributes(tensors[attr.index], attr.index, is_input, kind, soc);
}

uint32_t clipped(uint64_t bytes) { return static_cast<uint32_t>(std::min<uint64_t>(bytes, UINT32_MAX)); }

}  // namespace

void Context::query(int command, void* info, uint32_t size) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const Description& description = model_->description();
  const Soc& soc = description.soc;
  const auto tell_attributes = [&](bool is_input, AttributeKind kind) {
    fill_attributes(as<rknn_tensor_attr>(info, size), is_input ? description.inputs : description.outputs, is_input,
                    kind, soc);
  };
  switch (command) {
    case RKNN_QUERY_IN_OUT_NUM: {
      auto& numbers = as<rknn_input_output_num>(info, size);
      numbers.n_input = static_cast<uint32_t>(description.inputs.size());
      numbers.n_output = static_cast<uint32_t>(description.outputs.size());
      return;
    }
    case RKNN_QUERY_INPUT_ATTR:
      return tell_attributes(true, AttributeKind::kNormal);
    case RKNN_QUERY_OUTPUT_ATTR:
      return tell_attributes(false, AttributeKind::kNormal);
    case RKNN_QUERY_NATIVE_INPUT_ATTR:
      return tell_attributes(true, AttributeKind::kNative);
    case RKNN_QUERY_NATIVE_OUTPUT_ATTR:
      return tell_attributes(false, AttributeKind::kNative);
    case RKNN_QUERY_NATIVE_NHWC_INPUT_ATTR:
      return tell_attributes(true, AttributeKind::kNativeNhwc);
    case RKNN_QUERY_NATIVE_NHWC_OUTPUT_ATTR:
      return tell_attributes(false, AttributeKind::kNativeNhwc);
    case RKNN_QUERY_SDK_VERSION: {
      auto& version = as<rknn_sdk_version>(info, size);
      copy_text(version.api_version, "2.3.2 (rknn_ep simulator " RKNN_EP_VERSION ")");
      copy_text(version.drv_version, "0.9.8 (rknn_ep simulator " RKNN_EP_VERSION ")");
      return;
    }
    case RKNN_QUERY_PERF_RUN: {
      if (soc.zero_copy_only()) {
        throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, soc.name + " does not measure performance");
      }
      if (!ran_) throw Failure(RKNN_ERR_FAIL, "rknn_run has not been called");
      as<rknn_perf_run>(info, size).run_duration = run_microseconds_;
      return;
    }
    case RKNN_QUERY_MEM_SIZE: {
      auto& memory = as<rknn_mem_size>(info, size);
      memory = {};
      memory.total_weight_size = clipped(description.weight_bytes);
      memory.total_internal_size = clipped(description.internal_bytes);
      memory.total_dma_allocated_size = description.weight_bytes + description.internal_bytes;
      return;
    }
    case RKNN_QUERY_CUSTOM_STRING:
      copy_text(as<rknn_custom_string>(info, size).string, description.custom_string);
      return;
    default:
      throw Failure(RKNN_ERR_PARAM_INVALID, "query " + std::to_string(command) + " is not simulated");
  }
}

}  // namespace rknn_ep::simulator
