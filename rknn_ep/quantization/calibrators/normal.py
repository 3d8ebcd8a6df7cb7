"""normal: mean +- k standard deviations, cut to the range that was seen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from rknn_ep.quantization.calibrators.settings import number
from rknn_ep.records import Calibrator, QuantizationType, RangeObserver

DEVIATIONS = 3.0


class NormalObserver:
    """Running mean and variance, merged batch by batch (Chan, Golub and LeVeque 1983), so that no precision is lost."""

    def __init__(self, deviations: float = DEVIATIONS) -> None:
        self._deviations = deviations
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0
        self._minimum = math.inf
        self._maximum = -math.inf

    def observe(self, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        """Take one batch."""
        if not values.size:
            return
        self._minimum = min(self._minimum, float(values.min()))
        self._maximum = max(self._maximum, float(values.max()))
        mean = float(values.mean(dtype=np.float64))
        flat = values.reshape(-1)
        squares = sum(
            float(np.square(flat[start : start + 65536] - np.float64(mean)).sum()) for start in range(0, flat.size, 65536)
        )
        total = self._count + values.size
        offset = mean - self._mean
        self._squares += squares + offset * offset * self._count * values.size / total
        self._mean += offset * values.size / total
        self._count = total

    def end_pass(self) -> None:
        """Nothing to do: the moments are always up to date."""

    def range(self) -> tuple[float, float]:
        """Mean +- k sigma inside the range that was seen, widened to hold zero."""
        if not self._count:
            return 0.0, 0.0
        reach = self._deviations * math.sqrt(self._squares / self._count)
        low = max(self._minimum, self._mean - reach)
        high = min(self._maximum, self._mean + reach)
        return min(low, 0.0), max(high, 0.0)


def create(grid: QuantizationType, options: Mapping[str, str]) -> RangeObserver:
    """An observer; `core.normal_k` sets k."""
    return NormalObserver(number(options, "core.normal_k", DEVIATIONS, 0.0, 1000.0))


CALIBRATOR = Calibrator("normal", create, description="mean +- k standard deviations, k = 3 (core.normal_k)")
