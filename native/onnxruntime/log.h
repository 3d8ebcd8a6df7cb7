// Messages through ONNX Runtime's own logger, so that they go where the program sends its log.
#pragma once

#include <string>

#include "abi/ort_api.h"

namespace rknn_ep {

class Log {
 public:
  Log(const ort::OrtApi& api, const ort::OrtLogger* logger) : api_(api), logger_(logger) {}

  void info(const std::string& message) const noexcept { write(ort::ORT_LOGGING_LEVEL_INFO, message); }
  void warning(const std::string& message) const noexcept { write(ort::ORT_LOGGING_LEVEL_WARNING, message); }
  void error(const std::string& message) const noexcept { write(ort::ORT_LOGGING_LEVEL_ERROR, message); }

  void write(int severity, const std::string& message) const noexcept {
    if (logger_ == nullptr || severity < ort::ORT_LOGGING_LEVEL_VERBOSE || severity > ort::ORT_LOGGING_LEVEL_FATAL)
      return;
    ort::OrtStatus* const status = api_.Logger_LogMessage(logger_, static_cast<ort::OrtLoggingLevel>(severity),
                                                          message.c_str(), "rknn_ep", 0, "RKNNExecutionProvider");
    if (status != nullptr) api_.ReleaseStatus(status);  // there is nowhere to say that saying failed
  }

 private:
  const ort::OrtApi& api_;
  const ort::OrtLogger* const logger_;
};

}  // namespace rknn_ep
