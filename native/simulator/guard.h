// What every exported function does: no exception leaves it, a failure becomes a code and a log line.
#pragma once

#include <cstring>
#include <new>
#include <string>

#include "abi/rknn_api.h"
#include "simulator/failure.h"
#include "simulator/log.h"

namespace rknn_ep::simulator {

template <typename Work>
int guarded(const char* function, Work work) noexcept {
  try {
    work();
    if (logs(Level::kDebug)) log_line(Level::kDebug, function, "done");
    return RKNN_SUCC;
  } catch (const Failure& failure) {
    log_failure(function, failure.code(), failure.what());
    return failure.code();
  } catch (const std::bad_alloc&) {
    log_failure(function, RKNN_ERR_MALLOC_FAIL, "out of memory");
    return RKNN_ERR_MALLOC_FAIL;
  } catch (const std::exception& error) {
    log_failure(function, RKNN_ERR_FAIL, error.what());
    return RKNN_ERR_FAIL;
  } catch (...) {
    log_failure(function, RKNN_ERR_FAIL, "unknown failure");
    return RKNN_ERR_FAIL;
  }
}

// Enums in a program's structures can hold anything; read as the integers that they are.
template <typename Enum>
int raw(const Enum& value) {
  int number = 0;
  static_assert(sizeof(value) == sizeof(number), "rknn_api's enums are ints");
  std::memcpy(&number, &value, sizeof(number));
  return number;
}

}  // namespace rknn_ep::simulator
