"""mmse: the range whose quantised and dequantised image of the values has the least mean squared error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rknn_ep.quantization.affine import Range, parameters
from rknn_ep.quantization.histogram import HistogramObserver, candidate_limits
from rknn_ep.records import Calibrator, QuantizationType, RangeObserver

Array = np.ndarray[Any, Any]

TRIED = 24
"""Candidates that the estimate likes best and that are then quantised for real."""


class MmseObserver(HistogramObserver):
    """Tries pairs of limits over a histogram, each side on its own, so that skewed tensors are served too."""

    def __init__(self, grid: QuantizationType) -> None:
        super().__init__()
        self._grid = grid

    def range(self) -> tuple[float, float]:
        """The best pair of limits."""
        centres, counts = self.histogram.content()
        if not centres.size:
            return 0.0, 0.0
        low, high = min(self.histogram.minimum, 0.0), max(self.histogram.maximum, 0.0)
        return best_limits(centres, counts, low, high, self._grid)


def best_limits(centres: Array, counts: Array, low: float, high: float, grid: QuantizationType) -> tuple[float, float]:
    """The limits (minimum, maximum) inside [low, high] with the least squared error over weighted values.

    A cheap estimate ranks all pairs: what clipping costs at each end, plus scale^2 / 12 for every value inside
    (rounding error is uniform). The best are quantised and dequantised for real, then the neighbourhood of the
    winner is searched once more in finer steps.
    """
    lows, highs = candidate_limits(low), candidate_limits(high)
    best = _best_pair(centres, counts, lows, highs, grid)
    for reach in (0.06, 0.012):
        around = 1.0 + np.linspace(-reach, reach, 9)
        lows = np.unique(np.clip(best[0] * around, low, 0.0))
        highs = np.unique(np.clip(best[1] * around, 0.0, high))
        best = _best_pair(centres, counts, lows, highs, grid)
    return best


def _best_pair(centres: Array, counts: Array, lows: Array, highs: Array, grid: QuantizationType) -> tuple[float, float]:
    estimates = _estimate(centres, counts, lows, highs, grid)
    order = np.argsort(estimates, axis=None)[:TRIED]
    pairs = [(float(lows[i]), float(highs[j])) for i, j in zip(*np.unravel_index(order, estimates.shape), strict=True)]
    return min(pairs, key=lambda pair: _error(centres, counts, pair, grid))


def _estimate(centres: Array, counts: Array, lows: Array, highs: Array, grid: QuantizationType) -> Array:
    """Expected squared error for every pair of (lows x highs)."""
    if grid.symmetric:
        reach = np.maximum(-lows[:, None], highs[None, :])
        scale = reach / grid.qmax
        lows_used, highs_used = -reach, reach
    else:
        scale = (highs[None, :] - lows[:, None]) / (grid.qmax - grid.qmin)
        lows_used, highs_used = np.broadcast_to(lows[:, None], scale.shape), np.broadcast_to(highs[None, :], scale.shape)
    zeroth, first, second = (np.concatenate(([0.0], np.cumsum(counts * centres**power))) for power in range(3))
    below = np.searchsorted(centres, lows_used)
    above = np.searchsorted(centres, highs_used, side="right")
    clipped_low = second[below] - 2.0 * lows_used * first[below] + lows_used**2 * zeroth[below]
    rest = [total[-1] - total[above] for total in (zeroth, first, second)]
    clipped_high = rest[2] - 2.0 * highs_used * rest[1] + highs_used**2 * rest[0]
    result: Array = clipped_low + clipped_high + scale**2 / 12.0 * (zeroth[above] - zeroth[below])
    return result


def _error(centres: Array, counts: Array, pair: tuple[float, float], grid: QuantizationType) -> float:
    scale, zero_point = parameters(Range(*pair), grid)
    codes = np.clip(np.rint(centres / float(scale)) + zero_point, grid.qmin, grid.qmax)
    return float(np.dot(counts, np.square((codes - zero_point) * float(scale) - centres)))


def create(grid: QuantizationType, options: Mapping[str, str]) -> RangeObserver:
    """An observer for values that will be stored on `grid`."""
    return MmseObserver(grid)


CALIBRATOR = Calibrator("mmse", create, description="least mean squared error of the quantised values")
