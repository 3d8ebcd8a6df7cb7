// What calibration asks of every value of every tensor: plain loops, which Python calls through ctypes, so that samples
// that run at the same time are counted at the same time.
#pragma once

#include <stdint.h>

#define RKNN_EP_EXPORT __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

// The smallest and the largest of `count` values, at least one, into `ends`; both NaN where a value is NaN.
RKNN_EP_EXPORT void rknn_ep_extremes(const float* values, uint64_t count, float* ends);

// The sum of each of `rows` rows of `columns` values, into `sums`: in float32 over stretches of a row, then in double.
RKNN_EP_EXPORT void rknn_ep_row_sums(const float* values, uint64_t rows, uint64_t columns, double* sums);

// Adds each of `count` finite values, fewer than 2^32, to the bin trunc(value * scale + shift), float32 after each
// operation, of `bins`; the caller sees to it that none is negative, and what rounding takes past the last bin is put
// there. Returns how many values were zero; they are counted in their bin as well.
RKNN_EP_EXPORT uint64_t rknn_ep_count_bins(const float* values, uint64_t count, float scale, float shift,
                                           int64_t* counts, uint32_t bins);

#ifdef __cplusplus
}
#endif
