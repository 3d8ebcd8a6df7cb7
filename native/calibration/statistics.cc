#include "calibration/statistics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace {

constexpr uint64_t kLanes = 32;      // independent minima and sums, enough for any vector unit
constexpr uint64_t kStretch = 4096;  // values between two additions in double: 128 in each lane
constexpr uint64_t kBlock = 256;     // bin numbers computed ahead of their counting
constexpr uint32_t kHistograms = 4;  // neighbours often share a bin: with counters of their own none waits for a store

}  // namespace

void rknn_ep_extremes(const float* values, uint64_t count, float* ends) {
  float low[kLanes], high[kLanes];
  int32_t unordered[kLanes] = {};
  std::fill_n(low, kLanes, values[0]);
  std::fill_n(high, kLanes, values[0]);
  const auto look = [&](uint64_t lane, float value) {
    low[lane] = value < low[lane] ? value : low[lane];
    high[lane] = value > high[lane] ? value : high[lane];
    unordered[lane] |= value != value;
  };
  uint64_t index = 0;
  for (; index + kLanes <= count; index += kLanes)
    for (uint64_t lane = 0; lane < kLanes; ++lane) look(lane, values[index + lane]);
  for (; index < count; ++index) look(0, values[index]);
  const bool any_nan = std::any_of(unordered, unordered + kLanes, [](int32_t lane) { return lane != 0; });
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  ends[0] = any_nan ? kNaN : *std::min_element(low, low + kLanes);
  ends[1] = any_nan ? kNaN : *std::max_element(high, high + kLanes);
}

void rknn_ep_row_sums(const float* values, uint64_t rows, uint64_t columns, double* sums) {
  for (uint64_t row = 0; row < rows; ++row, values += columns) {
    double sum = 0.0;
    for (uint64_t start = 0; start < columns; start += kStretch) {
      const uint64_t end = std::min(start + kStretch, columns);
      float lanes[kLanes] = {};
      uint64_t index = start;
      for (; index + kLanes <= end; index += kLanes)
        for (uint64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += values[index + lane];
      for (; index < end; ++index) lanes[0] += values[index];
      sum += std::accumulate(lanes, lanes + kLanes, 0.0);
    }
    sums[row] = sum;
  }
}

uint64_t rknn_ep_count_bins(const float* values, uint64_t count, float scale, float shift, int64_t* counts,
                            uint32_t bins) {
  std::vector<uint32_t> histograms(static_cast<size_t>(bins) * kHistograms);  // [bin][histogram]
  const auto last = static_cast<int32_t>(bins) - 1;
  uint64_t zeros = 0;
  int32_t bin[kBlock];
  for (uint64_t start = 0; start < count; start += kBlock) {
    const uint64_t size = std::min(kBlock, count - start);
    int32_t block_zeros = 0;
    for (uint64_t index = 0; index < size; ++index) {
      const float value = values[start + index];
      bin[index] = std::min(static_cast<int32_t>(value * scale + shift), last);
      block_zeros += value == 0.0F;
    }
    zeros += static_cast<uint64_t>(block_zeros);
    for (uint64_t index = 0; index < size; ++index)
      ++histograms[static_cast<uint32_t>(bin[index]) * kHistograms + index % kHistograms];
  }
  for (size_t index = 0; index < histograms.size(); ++index) counts[index / kHistograms] += histograms[index];
  return zeros;
}
