// Lines on standard error, as the vendor's runtime writes them: RKNN_LOG_LEVEL says how many.
#pragma once

#include <string>

namespace rknn_ep::simulator {

// 0 errors (the default), 1 and warnings, 2 and hints, 3 and information, 4 and every call, 5 and what is in it.
enum class Level { kError = 0, kWarning = 1, kHint = 2, kInfo = 3, kDebug = 4, kDetail = 5 };

// Reads RKNN_LOG_LEVEL again: whenever a context is made.
void read_log_level() noexcept;
bool logs(Level level) noexcept;
void log_line(Level level, const char* function, const std::string& text) noexcept;

}  // namespace rknn_ep::simulator
