// What the operators' kernels see of ONNX Runtime: constants and attributes when they are made, tensors when they run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "abi/ort_custom_op.h"

namespace rknn_ep::simulator::kernel {

using ort::OrtApi;
using ort::OrtKernelContext;
using ort::OrtKernelInfo;
using ort::OrtStatus;
using ort::OrtValue;

constexpr int64_t kLargest = int64_t{1} << 40;  // elements; products of two dimensions stay far from overflow

inline void check(const OrtApi& api, OrtStatus* status) {
  if (!status) return;
  const std::string reason = api.GetErrorMessage(status);
  api.ReleaseStatus(status);
  throw std::runtime_error(reason);
}

inline void require(bool holds, const char* what) {
  if (!holds) throw std::runtime_error(what);
}

struct Tensor {
  std::vector<int64_t> dims;
  ort::ONNXTensorElementDataType type = ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
  const void* data = nullptr;

  int64_t size() const {
    int64_t total = 1;
    for (const int64_t dim : dims) {
      require(dim >= 0 && (dim == 0 || total <= kLargest / dim), "a tensor is too large");
      total *= dim;
    }
    return total;
  }
};

inline Tensor read(const OrtApi& api, const OrtValue* value) {
  ort::OrtTensorTypeAndShapeInfo* raw = nullptr;
  check(api, api.GetTensorTypeAndShape(value, &raw));
  const auto release = [&api](ort::OrtTensorTypeAndShapeInfo* info) { api.ReleaseTensorTypeAndShapeInfo(info); };
  const std::unique_ptr<ort::OrtTensorTypeAndShapeInfo, decltype(release)> info(raw, release);
  Tensor tensor;
  size_t rank = 0;
  check(api, api.GetDimensionsCount(raw, &rank));
  tensor.dims.resize(rank);
  check(api, api.GetDimensions(raw, tensor.dims.data(), rank));
  check(api, api.GetTensorElementType(raw, &tensor.type));
  void* data = nullptr;
  check(api, api.GetTensorMutableData(const_cast<OrtValue*>(value), &data));
  tensor.data = data;
  return tensor;
}

// What a kernel is made from.
struct Info {
  const OrtApi& api;
  const OrtKernelInfo* info;

  int64_t integer(const char* name) const {
    int64_t value = 0;
    check(api, api.KernelInfoGetAttribute_int64(info, name, &value));
    return value;
  }
  std::vector<int64_t> integers(const char* name) const {
    size_t count = 0;
    check(api, api.KernelInfoGetAttributeArray_int64(info, name, nullptr, &count));
    std::vector<int64_t> values(count);
    check(api, api.KernelInfoGetAttributeArray_int64(info, name, values.data(), &count));
    return values;
  }
  Tensor constant(size_t index, ort::ONNXTensorElementDataType type, size_t rank) const {
    int is_constant = 0;
    const OrtValue* value = nullptr;
    check(api, api.KernelInfoGetConstantInput_tensor(info, index, &is_constant, &value));
    require(is_constant && value, "an input that must be constant is not");
    Tensor tensor = read(api, value);
    require(tensor.type == type && tensor.dims.size() == rank, "a constant has another type or rank than it must");
    return tensor;
  }
};

// One run of a kernel.
struct Run {
  const OrtApi& api;
  OrtKernelContext* context;

  Tensor input() const {
    const OrtValue* value = nullptr;
    check(api, api.KernelContext_GetInput(context, 0, &value));
    return read(api, value);
  }
  uint8_t* output(const std::vector<int64_t>& dims) const {
    OrtValue* value = nullptr;
    void* data = nullptr;
    check(api, api.KernelContext_GetOutput(context, 0, dims.data(), dims.size(), &value));
    check(api, api.GetTensorMutableData(value, &data));
    return static_cast<uint8_t*>(data);
  }
  // Calls `work` for 0 to count - 1 on the session's threads. `work` must not throw.
  template <typename Work>
  void parallel(size_t count, Work& work) const {
    if (count <= 1) {
      if (count) work(0);
      return;
    }
    const auto call = [](void* self, size_t index) { (*static_cast<Work*>(self))(index); };
    check(api, api.KernelContext_ParallelFor(context, call, count, 0, &work));
  }
};

}  // namespace rknn_ep::simulator::kernel
