// A vendor .rknn holds instructions for the hardware, which are not read. What is simulated is its companion: the
// bundle that our compiler made of the same partition and named in the file's custom string.
#pragma once

#include <string>

#include "bundle/archive.h"

namespace rknn_ep::simulator {

// Path of the bundle to run for a model's bytes: empty where they are not a vendor file. `path` is the file they came
// from, empty where they came from memory. Looks beside the file, then in the folders of RKNN_EP_COMPANIONS (separated
// by colons), then in the user's cache. Throws Failure(RKNN_ERR_MODEL_INVALID) that says how to make one.
std::string companion_of(Bytes model, const std::string& path);

// The custom string of a .rknn, empty where there is none or the file is damaged.
std::string custom_string_of(Bytes model);

}  // namespace rknn_ep::simulator
