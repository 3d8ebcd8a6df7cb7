// Marks a function as visible outside the library; exports.map lists the names that may be.
#pragma once

#define RKNN_EP_EXPORT __attribute__((visibility("default")))
