// One element as a double, which holds every value of every type but the outermost of INT64: for the types of which
// there is little to convert, and the reference of the others.
#pragma once

#include <cstdint>

#include "tensor/convert.h"

namespace rknn_ep::tensor {

double decode_one(const Side& side, const uint8_t* from);
void encode_one(const Side& side, double value, uint8_t* to);

}  // namespace rknn_ep::tensor
