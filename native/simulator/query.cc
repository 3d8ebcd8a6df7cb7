// rknn_query: what a context tells about its model.
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "simulator/context.h"
#include "simulator/failure.h"
#include "simulator/profile.h"
#include "simulator/registry.h"

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
  if (!info) throw Failure(RKNN_ERR_PARAM_INVALID, "info is null");
  const Description& description = model_->description();
  const Soc& soc = description.soc;
  const auto tell_attributes = [&](bool is_input, AttributeKind kind) {
    fill_attributes(as<rknn_tensor_attr>(info, size), is_input ? description.inputs : description.outputs, is_input,
                    kind, soc);
  };
  const auto require_dynamic = [&] {
    soc.require_large("a query about dynamic shapes");
    if (dynamic()) return;
    throw Failure(RKNN_ERR_PARAM_INVALID,
                  "query " + std::to_string(command) + " is for models of dynamic shapes: this one is static");
  };
  const auto tell_current = [&](bool is_input, AttributeKind kind) {
    require_dynamic();
    require_shape();
    fill_attributes(as<rknn_tensor_attr>(info, size), is_input ? current().inputs : current().outputs, is_input, kind,
                    soc);
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
      copy_text(version.api_version, "2.4.1 (rknn_ep simulator " RKNN_EP_VERSION ")");
      copy_text(version.drv_version, "0.9.8 (rknn_ep simulator " RKNN_EP_VERSION ")");
      return;
    }
    case RKNN_QUERY_PERF_RUN: {
      soc.require_large("RKNN_QUERY_PERF_RUN");
      if (!started_) throw Failure(RKNN_ERR_FAIL, "rknn_run has not been called");
      finish();
      as<rknn_perf_run>(info, size).run_duration = run_microseconds_;
      return;
    }
    case RKNN_QUERY_PERF_DETAIL:
      soc.require_large("RKNN_QUERY_PERF_DETAIL");
      return fill_perf_detail(as<rknn_perf_detail>(info, size));
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
    case RKNN_QUERY_DEVICE_MEM_INFO: {
      if (!soc.zero_copy_only()) {
        throw Failure(RKNN_ERR_TARGET_PLATFORM_UNMATCH, soc.name + " has no RKNN_QUERY_DEVICE_MEM_INFO");
      }
      auto& memory = as<rknn_tensor_mem>(info, size);
      memory = {};
      memory.fd = -1;
      memory.size = clipped(description.weight_bytes + description.internal_bytes);
      memory.flags = RKNN_TENSOR_MEMORY_FLAGS_UNKNOWN;
      return;
    }
    case RKNN_QUERY_INPUT_DYNAMIC_RANGE:
      require_dynamic();
      return fill_range(as<rknn_input_range>(info, size));
    case RKNN_QUERY_CURRENT_INPUT_ATTR:
      return tell_current(true, AttributeKind::kNormal);
    case RKNN_QUERY_CURRENT_OUTPUT_ATTR:
      return tell_current(false, AttributeKind::kNormal);
    case RKNN_QUERY_CURRENT_NATIVE_INPUT_ATTR:
      return tell_current(true, AttributeKind::kNative);
    case RKNN_QUERY_CURRENT_NATIVE_OUTPUT_ATTR:
      return tell_current(false, AttributeKind::kNative);
    default:
      throw Failure(RKNN_ERR_PARAM_INVALID, "query " + std::to_string(command) + " is no rknn_query_cmd");
  }
}

// Times of layers come from a run of the last inputs in a session that measures: the one that computes is not slowed.
void Context::fill_perf_detail(rknn_perf_detail& detail) {
  if (!(flags_ & RKNN_FLAG_COLLECT_PERF_MASK)) {
    throw Failure(RKNN_ERR_PARAM_INVALID, "rknn_init was called without RKNN_FLAG_COLLECT_PERF_MASK");
  }
  if (started_ == reshaped_) throw Failure(RKNN_ERR_FAIL, "rknn_run has not been called");
  finish();
  const char* folder = std::getenv("TMPDIR");
  const std::string prefix = std::string(folder && *folder ? folder : "/tmp") + "/rknn_ep-layers-" +
                             std::to_string(::getpid()) + "-" + std::to_string(next_handle());
  const std::unique_ptr<Session> measuring = model_->profiled(prefix, shape_);
  Frame scratch = make_frame();  // outputs of the program stay as they are
  std::vector<ort::OrtValue*> outputs;
  for (size_t i = 0; i < outputs_.size(); ++i) outputs.push_back(scratch.values[inputs_.size() + i].get());
  measuring->run(input_values_.data(), outputs.data());
  perf_detail_ = layer_table(measuring->end_profiling(), soc().name);
  detail.perf_data = perf_detail_.data();
  detail.data_len = perf_detail_.size();
}

}  // namespace rknn_ep::simulator
