"""minmax: the range that was seen, nothing clipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rknn_ep.records import Calibrator, QuantizationType, RangeObserver


class MinMaxObserver:
    """Keeps the smallest and the largest value."""

    def __init__(self) -> None:
        self._minimum = 0.0
        self._maximum = 0.0

    def observe(self, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """Take one batch."""
        self._minimum = min(self._minimum, float(values.min(initial=0.0)))
        self._maximum = max(self._maximum, float(values.max(initial=0.0)))

    def observe_extremes(self, low: float, high: float) -> None:
        """Take one batch by its ends, which are known already."""
        self._minimum, self._maximum = min(self._minimum, low), max(self._maximum, high)

    def end_pass(self) -> None:
        """Nothing to do: the range is always up to date."""

    def range(self) -> tuple[float, float]:
        """Smallest and largest value, widened to hold zero."""
        return self._minimum, self._maximum


def create(grid: QuantizationType, options: Mapping[str, str]) -> RangeObserver:
    """An observer; the grid does not matter."""
    return MinMaxObserver()


CALIBRATOR = Calibrator("minmax", create, description="the range that was seen")
