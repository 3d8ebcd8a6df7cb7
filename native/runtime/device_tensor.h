// One input or output at a partition's border and in the device's memory, and the way between: layout, type, and the
// codes of quantised tensors.
#pragma once

#include <cstdint>
#include <memory>

#include "abi/rknn_api.h"
#include "runtime/interface.h"

namespace rknn_ep {

class DeviceTensor {
 public:
  // `attr` is what rknn_query says about `spec`. Throws Failure, naming the tensor, where we do not know how to convert
  // the two into each other.
  static std::unique_ptr<const DeviceTensor> open(const TensorSpec& spec, const rknn_tensor_attr& attr);

  virtual ~DeviceTensor() = default;
  DeviceTensor(const DeviceTensor&) = delete;
  DeviceTensor& operator=(const DeviceTensor&) = delete;

  // That the device's memory must hold.
  uint32_t bytes() const { return bytes_; }

  // `border` holds spec.bytes in ONNX's order, `device` bytes(). Padding is left as it is. Numbers become codes as
  // QuantizeLinear defines it (half to even, saturating) and come back as DequantizeLinear does.
  virtual void store(const void* border, void* device) const = 0;
  virtual void load(const void* device, void* border) const = 0;

 protected:
  explicit DeviceTensor(uint32_t bytes) : bytes_(bytes) {}

 private:
  uint32_t bytes_;
};

}  // namespace rknn_ep
