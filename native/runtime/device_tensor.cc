#include "runtime/device_tensor.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "bundle/half.h"
#include "runtime/device_layout.h"
#include "runtime/failure.h"

namespace rknn_ep {
namespace {

// How a stored element stands for a number.
template <typename T>
struct Plain {
  using Stored = T;
  T decode(T value) const { return value; }
  T encode(T value) const { return value; }
};

struct Half {
  using Stored = uint16_t;
  float decode(uint16_t value) const { return half_to_float(value); }
  uint16_t encode(float value) const { return float_to_half(value); }
};

template <typename T>
struct Codes {
  using Stored = T;
  float scale;
  int32_t zero_point;

  float decode(T code) const { return static_cast<float>(code - zero_point) * scale; }
  T encode(float value) const {
    // A float32 of this size has no fraction left: adding it rounds half to even, and the compiler can vectorise it.
    constexpr float kRounder = 0x1.8p23f;
    const auto lowest = static_cast<float>(std::numeric_limits<T>::min() - zero_point);
    const auto highest = static_cast<float>(std::numeric_limits<T>::max() - zero_point);
    float steps = value / scale;
    steps = steps > lowest ? steps : lowest;  // NaN as well
    steps = steps < highest ? steps : highest;
    return static_cast<T>(static_cast<int32_t>((steps + kRounder) - kRounder) + zero_point);
  }
};

// Element by element; neither address need be aligned.
template <typename From, typename To>
void move(const From& from, const void* source, uint64_t source_at, const To& to, void* target, uint64_t target_at) {
  typename From::Stored given;
  std::memcpy(&given, static_cast<const char*>(source) + source_at * sizeof(given), sizeof(given));
  const typename To::Stored made = to.encode(from.decode(given));
  std::memcpy(static_cast<char*>(target) + target_at * sizeof(made), &made, sizeof(made));
}

template <typename Border, typename Device>
class Converted final : public DeviceTensor {
 public:
  Converted(const DeviceLayout& layout, uint32_t bytes, Border border, Device device)
      : DeviceTensor(bytes), layout_(layout), border_(border), device_(device) {}

  void store(const void* border, void* device) const override {
    layout_.for_each_row([&](uint64_t placed, uint64_t at) {
      for (uint64_t w = 0; w < layout_.width; ++w) {
        move(border_, border, at + w, device_, device, placed + w * layout_.width_step);
      }
    });
  }

  void load(const void* device, void* border) const override {
    layout_.for_each_row([&](uint64_t placed, uint64_t at) {
      for (uint64_t w = 0; w < layout_.width; ++w) {
        move(device_, device, placed + w * layout_.width_step, border_, border, at + w);
      }
    });
  }

 private:
  const DeviceLayout layout_;
  const Border border_;
  const Device device_;
};

uint32_t element_bytes(rknn_tensor_type type) {
  switch (type) {
    case RKNN_TENSOR_INT8:
    case RKNN_TENSOR_UINT8:
    case RKNN_TENSOR_BOOL:
      return 1;
    case RKNN_TENSOR_FLOAT16:
    case RKNN_TENSOR_BFLOAT16:
    case RKNN_TENSOR_INT16:
    case RKNN_TENSOR_UINT16:
      return 2;
    case RKNN_TENSOR_FLOAT32:
    case RKNN_TENSOR_INT32:
    case RKNN_TENSOR_UINT32:
      return 4;
    case RKNN_TENSOR_INT64:
      return 8;
    default:
      return 0;
  }
}

// Finds the conversion between one border and one device type.
struct Opener {
  const TensorSpec& spec;
  const rknn_tensor_attr& attr;
  const DeviceLayout layout;
  uint32_t bytes = 0;

  Opener(const TensorSpec& border, const rknn_tensor_attr& device)
      : spec(border), attr(device), layout(border, device) {
    const uint64_t needed = std::max<uint64_t>(layout.total * element_bytes(attr.type), attr.size_with_stride);
    if (element_bytes(attr.type) == 0 || needed > std::numeric_limits<uint32_t>::max()) refuse();
    bytes = static_cast<uint32_t>(needed);
  }

  [[noreturn]] void refuse() const {
    throw Failure("'" + spec.name + "' is " + spec.type_name + ", the device holds rknn_tensor_type " +
                  std::to_string(attr.type) + " with rknn_tensor_qnt_type " + std::to_string(attr.qnt_type) +
                  ", which io_mode=zero_copy does not convert");
  }

  template <typename Border, typename Device>
  std::unique_ptr<const DeviceTensor> made(Border border, Device device) const {
    return std::make_unique<Converted<Border, Device>>(layout, bytes, border, device);
  }

  template <typename T>
  std::unique_ptr<const DeviceTensor> same() const {
    return made(Plain<T>{}, Plain<T>{});
  }

  template <typename T, typename Border>
  std::unique_ptr<const DeviceTensor> codes(Border border) const {
    using Limits = std::numeric_limits<T>;
    const bool affine = attr.qnt_type == RKNN_TENSOR_QNT_AFFINE_ASYMMETRIC;
    if (!affine || !(attr.scale > 0) || attr.zp < Limits::min() || attr.zp > Limits::max()) refuse();
    return made(border, Codes<T>{attr.scale, attr.zp});
  }

  template <typename Border>
  std::unique_ptr<const DeviceTensor> real(Border border) const {
    switch (attr.type) {
      case RKNN_TENSOR_FLOAT32:
        return made(border, Plain<float>{});
      case RKNN_TENSOR_FLOAT16:
        return made(border, Half{});
      case RKNN_TENSOR_INT8:
        return codes<int8_t>(border);
      case RKNN_TENSOR_UINT8:
        return codes<uint8_t>(border);
      case RKNN_TENSOR_INT16:
        return codes<int16_t>(border);
      default:
        refuse();
    }
  }

  std::unique_ptr<const DeviceTensor> open() const {
    if (spec.rknn_type != attr.type) {
      if (spec.rknn_type == RKNN_TENSOR_FLOAT32) return real(Plain<float>{});
      if (spec.rknn_type == RKNN_TENSOR_FLOAT16) return real(Half{});
      refuse();
    }
    switch (element_bytes(attr.type)) {
      case 1:
        return same<uint8_t>();
      case 2:
        return same<uint16_t>();
      case 4:
        return same<uint32_t>();
      default:
        return same<uint64_t>();
    }
  }
};

}  // namespace

std::unique_ptr<const DeviceTensor> DeviceTensor::open(const TensorSpec& spec, const rknn_tensor_attr& attr) {
  return Opener(spec, attr).open();
}

}  // namespace rknn_ep
