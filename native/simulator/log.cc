#include "simulator/log.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>

namespace rknn_ep::simulator {
namespace {

std::atomic<int> shown{0};

}  // namespace

void read_log_level() noexcept {
  const char* text = std::getenv("RKNN_LOG_LEVEL");
  shown = text ? std::clamp(std::atoi(text), 0, 5) : 0;
}

bool logs(Level level) noexcept { return static_cast<int>(level) <= shown.load(std::memory_order_relaxed); }

void log_line(Level level, const char* function, const std::string& text) noexcept {
  static constexpr char kLetters[] = "EWHIDV";
  if (logs(level)) {
    std::fprintf(stderr, "%c rknn_ep simulator: %s: %s\n", kLetters[static_cast<int>(level)], function, text.c_str());
  }
}

}  // namespace rknn_ep::simulator
