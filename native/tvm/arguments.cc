#include "tvm/arguments.h"

#include <cstring>

#include "runtime/failure.h"

namespace rknn_ep {
namespace {

constexpr uintptr_t kAlignment = 8;  // of the largest element

bool has_type(const DLTensor& tensor, const TensorSpec& spec) {
  int code = -1;
  switch (spec.rknn_type) {
    case RKNN_TENSOR_FLOAT32:
    case RKNN_TENSOR_FLOAT16:
      code = kDLFloat;
      break;
    case RKNN_TENSOR_BFLOAT16:
      code = kDLBfloat;
      break;
    case RKNN_TENSOR_BOOL:
      code = kDLBool;
      break;
    case RKNN_TENSOR_UINT8:
    case RKNN_TENSOR_UINT16:
    case RKNN_TENSOR_UINT32:
      code = kDLUInt;
      break;
    default:
      code = kDLInt;
  }
  uint64_t elements = 1;
  for (const int64_t dim : spec.dims) elements *= static_cast<uint64_t>(dim);
  return tensor.dtype.code == code && tensor.dtype.lanes == 1 && elements * tensor.dtype.bits == spec.bytes * 8ull;
}

bool has_shape(const DLTensor& tensor, const TensorSpec& spec) {
  return static_cast<size_t>(tensor.ndim) == spec.dims.size() &&
         std::equal(spec.dims.begin(), spec.dims.end(), tensor.shape);
}

bool is_contiguous(const DLTensor& tensor) {
  if (tensor.strides == nullptr) return true;
  int64_t expected = 1;
  for (int32_t index = tensor.ndim - 1; index >= 0; --index) {
    if (tensor.shape[index] != 1 && tensor.strides[index] != expected) return false;
    expected *= tensor.shape[index];
  }
  return true;
}

}  // namespace

Arguments::Arguments(const Interface& interface, tvm::ffi::PackedArgs given) {
  const size_t n_inputs = interface.inputs.size();
  const size_t n_outputs = interface.outputs.size();
  if (static_cast<size_t>(given.size()) != n_inputs + n_outputs) {
    throw Failure("partition " + interface.partition + " takes " + std::to_string(n_inputs) + " inputs and " +
                  std::to_string(n_outputs) + " outputs, not " + std::to_string(given.size()) + " tensors");
  }
  inputs_.reserve(n_inputs);
  outputs_.reserve(n_outputs);
  int position = 0;
  for (const TensorSpec& spec : interface.inputs) {
    inputs_.push_back(aligned(address(spec, interface, given[position++]), spec, false));
  }
  for (const TensorSpec& spec : interface.outputs) {
    outputs_.push_back(aligned(address(spec, interface, given[position++]), spec, true));
  }
}

void* Arguments::address(const TensorSpec& spec, const Interface& interface, const tvm::ffi::AnyView& argument) {
  const auto tensor = argument.try_cast<DLTensor*>();
  const std::string where = "tensor '" + spec.name + "' of partition " + interface.partition;
  if (!tensor.has_value() || *tensor == nullptr) throw Failure(where + " is no tensor");
  const DLTensor& found = **tensor;
  if (found.device.device_type != kDLCPU) throw Failure(where + " is not in the CPU's memory");
  if (!has_shape(found, spec)) {
    throw Failure(where + " has the shape " + shape_text(found.shape, static_cast<size_t>(found.ndim)) +
                  ", but was compiled for " + shape_text(spec.dims.data(), spec.dims.size()));
  }
  if (!has_type(found, spec)) throw Failure(where + " is of another type than " + spec.type_name);
  if (!is_contiguous(found)) throw Failure(where + " is not contiguous");
  return static_cast<char*>(found.data) + found.byte_offset;
}

void* Arguments::aligned(void* data, const TensorSpec& spec, bool output) {
  if (reinterpret_cast<uintptr_t>(data) % kAlignment == 0) return data;
  auto copy = std::make_unique<char[]>(spec.bytes);
  void* const moved = copy.get();
  if (output) {
    moved_outputs_.push_back({data, std::move(copy), spec.bytes});
  } else {
    std::memcpy(moved, data, spec.bytes);
    moved_inputs_.push_back(std::move(copy));
  }
  return moved;
}

void Arguments::finish() const {
  for (const Moved& moved : moved_outputs_) std::memcpy(moved.destination, moved.copy.get(), moved.bytes);
}

}  // namespace rknn_ep
