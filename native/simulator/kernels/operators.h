// The operators of domain "rknn_ep" that the models for x64 without VNNI use.
//
//   Convolution(x u8 [N,H,W,C], weights s8 [M,C or 1,KH,KW], bias s32 [M], multipliers f32 [M]) -> u8 [N,OH,OW,M]
//     strides, pads, dilations, group, x_zero_point, y_zero_point; the last three inputs are constants. Also [N,C] ->
//     [N,M], where every row is a pixel.
//   Lookup(x u8, table u8 [256]) -> u8, the table a constant
//   QuantizePicture(x f32 [N,C,H,W], scale f32 [1]) -> u8 [N,H,W,C], of at most four channels; y_zero_point
//   Repeat(x u8 [N,H,W,C]) -> u8 [N,H*rows,W*columns,C]: every pixel that often
#pragma once

#include <memory>

#include "abi/ort_custom_op.h"

namespace rknn_ep::simulator {

// A domain to add to session options; it must outlive their sessions.
struct ReleaseDomain {
  const ort::OrtApi* api;
  void operator()(ort::OrtCustomOpDomain* domain) const { api->ReleaseCustomOpDomain(domain); }
};
using OperatorDomain = std::unique_ptr<ort::OrtCustomOpDomain, ReleaseDomain>;

// Returns the status of the call that failed, or null; then `domain` is set.
ort::OrtStatus* make_operator_domain(const ort::OrtApi& api, OperatorDomain& domain);

}  // namespace rknn_ep::simulator
