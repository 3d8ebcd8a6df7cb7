// The copying and the zero-copy flow of rknn_api. Both take a uint8 picture and give the heads as float32.
#pragma once

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "decode.h"
#include "rknn_api.h"

inline void check(const char* function, int code) {
  if (code < 0) throw std::runtime_error(std::string(function) + " failed with " + std::to_string(code));
}

class Flow {
 public:
  explicit Flow(std::string model) {
    check("rknn_init", rknn_init(&context_, model.data(), 0, 0, nullptr));
    rknn_input_output_num numbers{};
    check("rknn_query", rknn_query(context_, RKNN_QUERY_IN_OUT_NUM, &numbers, sizeof(numbers)));
    if (numbers.n_input != 1) throw std::runtime_error("the model has more than one input");
    for (uint32_t i = 0; i < numbers.n_output; ++i) outputs_.push_back(query(RKNN_QUERY_OUTPUT_ATTR, i));
    for (const rknn_tensor_attr& attr : outputs_) {
      if (attr.n_dims != 4)
        throw std::runtime_error("this program takes the raw form of YOLOv5: three outputs [1,255,S,S]");
    }
    input_ = query(RKNN_QUERY_INPUT_ATTR, 0);
  }
  virtual ~Flow() { rknn_destroy(context_); }
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;

  int size() const { return static_cast<int>(input_.dims[1]); }  // [1,H,W,3]
  virtual std::vector<Output> run(const Picture& square) = 0;

 protected:
  rknn_tensor_attr query(rknn_query_cmd command, uint32_t index) const {
    rknn_tensor_attr attr{};
    attr.index = index;
    check("rknn_query", rknn_query(context_, command, &attr, sizeof(attr)));
    return attr;
  }
  static Output empty(const rknn_tensor_attr& attr) {
    return {static_cast<int>(attr.dims[1]), static_cast<int>(attr.dims[2]), static_cast<int>(attr.dims[3]),
            std::vector<float>(attr.n_elems)};
  }

  rknn_context context_ = 0;
  rknn_tensor_attr input_{};
  std::vector<rknn_tensor_attr> outputs_;
};

// rknn_inputs_set, rknn_run, rknn_outputs_get: the runtime converts, with a copy each way.
class Copying final : public Flow {
 public:
  using Flow::Flow;

  std::vector<Output> run(const Picture& square) override {
    rknn_input input{};
    input.buf = const_cast<uint8_t*>(square.pixels.data());
    input.size = static_cast<uint32_t>(square.pixels.size());
    input.type = RKNN_TENSOR_UINT8;
    input.fmt = RKNN_TENSOR_NHWC;
    check("rknn_inputs_set", rknn_inputs_set(context_, 1, &input));
    check("rknn_run", rknn_run(context_, nullptr));
    std::vector<Output> results;
    for (const rknn_tensor_attr& attr : outputs_) results.push_back(empty(attr));
    std::vector<rknn_output> outputs(results.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      outputs[i].want_float = outputs[i].is_prealloc = 1;
      outputs[i].index = static_cast<uint32_t>(i);
      outputs[i].buf = results[i].values.data();
      outputs[i].size = static_cast<uint32_t>(results[i].values.size() * sizeof(float));
    }
    const auto count = static_cast<uint32_t>(outputs.size());
    check("rknn_outputs_get", rknn_outputs_get(context_, count, outputs.data(), nullptr));
    check("rknn_outputs_release", rknn_outputs_release(context_, count, outputs.data()));
    return results;
  }
};

// Memory that program and NPU share, bound once; every frame is written, run and read in place.
class ZeroCopy final : public Flow {
 public:
  explicit ZeroCopy(std::string model) : Flow(std::move(model)), picture_(query(RKNN_QUERY_NATIVE_INPUT_ATTR, 0)) {
    if (picture_.fmt != RKNN_TENSOR_NHWC) throw std::runtime_error("the model's input is no picture");
    picture_.type = RKNN_TENSOR_UINT8;  // bytes as the camera gives them; the runtime makes codes of them
    picture_.pass_through = 0;
    stride_ = std::max(picture_.w_stride, picture_.dims[2]) * picture_.dims[3];
    memory_ = bind(picture_, picture_.dims[1] * stride_);
    for (uint32_t i = 0; i < outputs_.size(); ++i) {
      native_.push_back(query(RKNN_QUERY_NATIVE_OUTPUT_ATTR, i));
      if (native_[i].fmt != RKNN_TENSOR_NC1HWC2 || native_[i].type != RKNN_TENSOR_INT8) {
        throw std::runtime_error("the zero-copy flow reads int8 in NC1HWC2: compile the model in int8");
      }
      results_.push_back(bind(native_[i], 0));
    }
  }
  ~ZeroCopy() override {
    for (rknn_tensor_mem* memory : memories_) rknn_destroy_mem(context_, memory);
  }

  std::vector<Output> run(const Picture& square) override {
    const size_t row = static_cast<size_t>(square.width) * 3;
    for (int y = 0; y < square.height; ++y) {  // in one piece where the device's rows are no longer
      std::memcpy(static_cast<uint8_t*>(memory_->virt_addr) + static_cast<size_t>(y) * stride_, square.at(0, y), row);
    }
    check("rknn_run", rknn_run(context_, nullptr));
    std::vector<Output> results;
    for (size_t i = 0; i < native_.size(); ++i) results.push_back(real(i));
    return results;
  }

 private:
  // NC1HWC2: channel c of pixel p is at (c / C2 * pixels + p) * C2 + c % C2.
  Output real(size_t index) const {
    const rknn_tensor_attr& attr = native_[index];
    const auto* codes = static_cast<const int8_t*>(results_[index]->virt_addr);
    Output output = empty(outputs_[index]);
    const size_t pixels = static_cast<size_t>(output.rows) * static_cast<size_t>(output.columns), block = attr.dims[4];
    for (size_t c = 0; c < static_cast<size_t>(output.channels); ++c) {
      const int8_t* from = codes + c / block * pixels * block + c % block;
      for (size_t p = 0; p < pixels; ++p) {
        output.values[c * pixels + p] =
            (static_cast<float>(from[p * block]) - static_cast<float>(attr.zp)) * attr.scale;
      }
    }
    return output;
  }

  rknn_tensor_mem* bind(rknn_tensor_attr& attr, uint32_t size) {
    rknn_tensor_mem* const memory = rknn_create_mem(context_, std::max(size, attr.size_with_stride));
    if (memory == nullptr) throw std::runtime_error("rknn_create_mem has no memory");
    memories_.push_back(memory);
    check("rknn_set_io_mem", rknn_set_io_mem(context_, memory, &attr));
    return memory;
  }

  rknn_tensor_attr picture_;
  uint32_t stride_ = 0;  // bytes of a row
  rknn_tensor_mem* memory_ = nullptr;
  std::vector<rknn_tensor_attr> native_;
  std::vector<rknn_tensor_mem*> results_;
  std::vector<rknn_tensor_mem*> memories_;
};
