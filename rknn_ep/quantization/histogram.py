"""A histogram of a stream: one pass, a fixed number of bins, a range that grows by merging bins in pairs.

Bin edges are whole multiples of a width that is a power of two, so that doubling the width merges two old bins into
one new bin exactly, wherever the data wander. Exact zeros are counted apart: they are what padding, ReLU and
sparse inputs produce, every grid represents them without error, and no statistic of the rest should see them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rknn_ep.quantization.statistics import count_bins, extremes

Array = np.ndarray[Any, Any]

BINS = 4096
"""Kept bins: 8 to 16 for each step of an 8-bit grid over the full range."""


class Histogram:
    """Counts of finite float32 values in at most `BINS` bins around the values seen."""

    def __init__(self) -> None:
        self.minimum = math.inf
        self.maximum = -math.inf
        self.zeros = 0
        """How many values were exactly zero; they are in no bin."""
        self.width = 0.0
        self._first = 0
        self._counts: Array = np.zeros(BINS, np.int64)

    def add(self, values: Array) -> None:
        """Count one batch: finite float32, any shape."""
        if not values.size:
            return
        values = np.ascontiguousarray(values, np.float32)
        self._grow(*extremes(values))
        if self.width == 0.0:
            self.zeros += values.size
            return
        zeros = count_bins(values, 1.0 / self.width, -self._first, self._counts)
        self.zeros += zeros
        self._counts[-self._first] -= zeros

    def _grow(self, low: float, high: float) -> None:
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        low, high = min(self.minimum, 0.0), max(self.maximum, 0.0)
        if low == high:
            return
        if self.width == 0.0:
            # Half of the bins to begin with: later batches reach further, and need not merge at once.
            self.width = 2.0 ** max(math.ceil(math.log2((high - low) / BINS)) + 1, -126)
            self._first = math.floor(low / self.width)
        while math.floor(high / self.width) - math.floor(low / self.width) >= BINS:
            self._merge_pairs()
        first, last = math.floor(low / self.width), math.floor(high / self.width)
        if first < self._first or last >= self._first + BINS:
            # Slide the window so that it covers [first, last] with the spare bins shared by both sides.
            spare = BINS - (last - first + 1)
            self._slide(first - (spare // 2 if low < 0.0 else 0))

    def _merge_pairs(self) -> None:
        first = self._first // 2
        counts = np.zeros(BINS, np.int64)
        np.add.at(counts, (np.arange(BINS) + self._first) // 2 - first, self._counts)
        self._first, self._counts, self.width = first, counts, self.width * 2.0

    def _slide(self, first: int) -> None:
        counts = np.zeros(BINS, np.int64)
        used = np.flatnonzero(self._counts)
        counts[used + (self._first - first)] = self._counts[used]
        self._first, self._counts = first, counts

    def content(self) -> tuple[Array, Array]:
        """(centres float64, counts float64) of the bins between the first and the last that hold anything.

        The outermost centres are pulled inside [minimum, maximum]. Both empty where only zeros were seen.
        """
        used = np.flatnonzero(self._counts)
        if not used.size:
            return np.zeros(0), np.zeros(0)
        inside = slice(int(used[0]), int(used[-1]) + 1)
        centres = (np.arange(BINS)[inside] + self._first + 0.5) * self.width
        return np.clip(centres, self.minimum, self.maximum), self._counts[inside].astype(np.float64)


class HistogramObserver:
    """What the observers share that choose a range from the histogram of one pass."""

    def __init__(self) -> None:
        self.histogram = Histogram()

    def observe(self, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """Take one batch."""
        self.histogram.add(values)

    def end_pass(self) -> None:
        """Nothing to do: one pass is enough."""


def candidate_limits(limit: float) -> Array:
    """Candidates for one end of a range, from the limit seen down to a thousandth of it in equal ratios.

    Float64; a limit of zero has zero as its only candidate.
    """
    if limit == 0.0:
        return np.zeros(1)
    return limit * np.exp2(-np.arange(81) / 8.0)
