#include "runtime/failure.h"

namespace rknn_ep {

std::string& last_error() noexcept {
  thread_local std::string text;
  return text;
}

}  // namespace rknn_ep
