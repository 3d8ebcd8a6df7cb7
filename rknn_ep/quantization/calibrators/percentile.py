"""percentile: the range that holds all but a small share of the values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rknn_ep.quantization.calibrators.settings import number
from rknn_ep.quantization.histogram import HistogramObserver
from rknn_ep.records import Calibrator, QuantizationType, RangeObserver

PERCENT = 99.99


class PercentileObserver(HistogramObserver):
    """Clips an equal share of the values at each end."""

    def __init__(self, percent: float = PERCENT) -> None:
        super().__init__()
        self._percent = percent

    def range(self) -> tuple[float, float]:
        """The range, widened to hold zero; exact to one bin of the histogram."""
        centres, counts = self.histogram.content()
        if not centres.size:
            return 0.0, 0.0
        # Zeros are values like any other here: put them back where they belong in the order.
        position = int(np.searchsorted(centres, 0.0))
        centres, counts = np.insert(centres, position, 0.0), np.insert(counts, position, float(self.histogram.zeros))
        share = np.cumsum(counts) / counts.sum()
        tail = (100.0 - self._percent) / 200.0
        low = 0 if tail == 0.0 else int(np.searchsorted(share, tail))
        high = min(int(np.searchsorted(share, 1.0 - tail)), centres.size - 1)
        half = self.histogram.width / 2.0
        minimum = max(float(centres[low]) - half, self.histogram.minimum)
        maximum = min(float(centres[high]) + half, self.histogram.maximum)
        return min(minimum, 0.0), max(maximum, 0.0)


def create(grid: QuantizationType, options: Mapping[str, str]) -> RangeObserver:
    """An observer; `core.percentile` sets the percentage kept."""
    return PercentileObserver(number(options, "core.percentile", PERCENT, 50.0, 100.0))


CALIBRATOR = Calibrator("percentile", create, description="all but 0.01 % of the values (core.percentile)")
