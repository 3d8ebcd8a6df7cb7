// What is known of the device beside its name (soc, driver, cores): shown as the metadata of its OrtEpDevice.
#pragma once

#include "abi/ort_api.h"

namespace rknn_ep {

// The pairs given through rknn_ep_set_device_metadata as ONNX Runtime has them; where nothing was given, what can be
// seen without plugins: device (board or simulator), soc, board, driver_version. The caller releases them.
ort::OrtKeyValuePairs* device_metadata(const ort::OrtApi& api);

}  // namespace rknn_ep
