// The one exception of the native code. It never crosses a C boundary: every exported function catches it and keeps
// its text for rknn_ep_last_error().
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace rknn_ep {

// What happened, to which partition, file or option, and what to do next.
class Failure : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The calling thread's last error text.
std::string& last_error() noexcept;

// Runs `body` at a C boundary. 0, or -1 with the reason in last_error().
template <typename Body>
int guarded(Body&& body) noexcept {
  try {
    std::forward<Body>(body)();
    return 0;
  } catch (const std::exception& error) {
    try {
      last_error() = error.what();
    } catch (...) {
      last_error().clear();  // no memory for the text
    }
  } catch (...) {
    last_error().clear();
  }
  return -1;
}

}  // namespace rknn_ep
