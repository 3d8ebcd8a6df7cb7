// The memories that a tensor moves between: at a partition's border, in the device, and in a form of the caller's.
#pragma once

#include "abi/rknn_api.h"
#include "runtime/interface.h"
#include "tensor/convert.h"

namespace rknn_ep {

// ONNX's order, the border's type.
tensor::Side border_side(const TensorSpec& spec);

// What `attr`, from rknn_query, says of the device's memory. Throws Failure, naming the tensor, where it is not `spec`
// in a layout that we know, or in a type that does not turn into the border's.
tensor::Side device_side(const TensorSpec& spec, const rknn_tensor_attr& attr);

// A caller's memory for an input in a type and layout of its own; `attr` as above. Throws Failure for types, layouts
// and sizes that cannot be.
tensor::Side input_side(const TensorSpec& spec, const rknn_tensor_attr& attr, const rknn_input& input);

}  // namespace rknn_ep
