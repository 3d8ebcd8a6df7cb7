"""kl_divergence: the range whose integer image of the distribution diverges least from the distribution.

The idea is TensorRT's entropy calibration (S. Migacz, 8-bit Inference with TensorRT, GTC 2017), made two-sided: each
limit is moved on its own, so that ReLU outputs, SiLU outputs and signed tensors are all served.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rknn_ep.quantization.histogram import HistogramObserver, candidate_limits
from rknn_ep.records import Calibrator, QuantizationType, RangeObserver

Array = np.ndarray[Any, Any]

ROUNDS = 2
"""Each limit is searched this often, with the other one held."""


class KlDivergenceObserver(HistogramObserver):
    """Compares the distribution P with its integer image Q for candidate ranges over a histogram."""

    def __init__(self, grid: QuantizationType) -> None:
        super().__init__()
        self._grid = grid

    def range(self) -> tuple[float, float]:
        """The limits with the least divergence of Q from P."""
        centres, counts = self.histogram.content()
        if not centres.size:
            return 0.0, 0.0
        low, high = min(self.histogram.minimum, 0.0), max(self.histogram.maximum, 0.0)
        lows, highs = candidate_limits(low), candidate_limits(high)
        for _ in range(ROUNDS):
            high = min(highs, key=lambda limit: divergence(centres, counts, low, float(limit), self._grid))
            low = min(lows, key=lambda limit: divergence(centres, counts, float(limit), high, self._grid))
        return float(low), float(high)


def divergence(centres: Array, counts: Array, low: float, high: float, grid: QuantizationType) -> float:
    """KL divergence of the integer image from the distribution, in nats.

    P: the counts inside [low, high], with everything outside added to the outermost bins, as clipping does.
    Q: the counts inside only, each step of the grid spread evenly over the bins that it holds and that are not empty.
    """
    if low >= high:
        return float("inf")
    reach = max(-low, high)
    bottom, top = (-reach, reach) if grid.symmetric else (low, high)
    first, last = int(np.searchsorted(centres, bottom)), int(np.searchsorted(centres, top, side="right"))
    inside = counts[first:last]
    steps = grid.qmax - grid.qmin
    # Fewer bins than steps, and Q would be P itself.
    if inside.size < min(steps, counts.size) or not inside.any():
        return float("inf")
    p = inside.copy()
    p[0] += counts[:first].sum()
    p[-1] += counts[last:].sum()
    step = np.rint((centres[first:last] - bottom) * (steps / (top - bottom))).astype(np.int64)
    step -= step[0]
    filled = inside > 0
    mass = np.bincount(step, weights=inside)
    shared = np.bincount(step, weights=filled.astype(np.float64))
    q = np.where(filled, mass[step] / np.maximum(shared[step], 1.0), 0.0)
    # An edge bin that holds clipped values only has no image; it must cost something finite.
    q = np.where((p > 0) & (q == 0.0), 1e-4, q)
    held = p > 0
    p, q = p[held] / p.sum(), q[held] / q.sum()
    return float(np.sum(p * np.log(p / q)))


def create(grid: QuantizationType, options: Mapping[str, str]) -> RangeObserver:
    """An observer for values that will be stored on `grid`."""
    return KlDivergenceObserver(grid)


CALIBRATOR = Calibrator("kl_divergence", create, description="least divergence of the quantised distribution")
