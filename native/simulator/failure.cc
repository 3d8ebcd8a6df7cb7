#include "simulator/failure.h"

#include <cstdio>

#include "abi/rknn_api.h"

namespace rknn_ep::simulator {

const char* code_name(int code) noexcept {
  switch (code) {
    case RKNN_ERR_FAIL:
      return "RKNN_ERR_FAIL";
    case RKNN_ERR_TIMEOUT:
      return "RKNN_ERR_TIMEOUT";
    case RKNN_ERR_DEVICE_UNAVAILABLE:
      return "RKNN_ERR_DEVICE_UNAVAILABLE";
    case RKNN_ERR_MALLOC_FAIL:
      return "RKNN_ERR_MALLOC_FAIL";
    case RKNN_ERR_PARAM_INVALID:
      return "RKNN_ERR_PARAM_INVALID";
    case RKNN_ERR_MODEL_INVALID:
      return "RKNN_ERR_MODEL_INVALID";
    case RKNN_ERR_CTX_INVALID:
      return "RKNN_ERR_CTX_INVALID";
    case RKNN_ERR_INPUT_INVALID:
      return "RKNN_ERR_INPUT_INVALID";
    case RKNN_ERR_OUTPUT_INVALID:
      return "RKNN_ERR_OUTPUT_INVALID";
    case RKNN_ERR_DEVICE_UNMATCH:
      return "RKNN_ERR_DEVICE_UNMATCH";
    case RKNN_ERR_TARGET_PLATFORM_UNMATCH:
      return "RKNN_ERR_TARGET_PLATFORM_UNMATCH";
    case RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL:
      return "RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL";
    case RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION:
      return "RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION";
    default:
      return "error";
  }
}

void log_failure(const char* function, int code, const char* reason) noexcept {
  std::fprintf(stderr, "E rknn_ep simulator: %s: %s (%s, %d)\n", function, reason, code_name(code), code);
}

}  // namespace rknn_ep::simulator
