// How the inside of the simulator reports what went wrong; the exported functions turn it into a code and a log line.
#pragma once

#include <stdexcept>
#include <string>

namespace rknn_ep::simulator {

// An rknn_api error code with the reason in words.
class Failure : public std::runtime_error {
 public:
  Failure(int code, const std::string& reason) : std::runtime_error(reason), code_(code) {}
  int code() const { return code_; }

 private:
  int code_;
};

// Writes one line to standard error, as the vendor's runtime does.
void log_failure(const char* function, int code, const char* reason) noexcept;

// The name of an rknn_api error code.
const char* code_name(int code) noexcept;

}  // namespace rknn_ep::simulator
