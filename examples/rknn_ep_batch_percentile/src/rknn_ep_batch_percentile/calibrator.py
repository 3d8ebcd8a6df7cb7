"""The calibration method `batch_percentile`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rknn_ep.errors import OptionError
from rknn_ep.records import QuantizationType

OPTION = "batch_percentile.percentile"


class BatchPercentile:
    """The mean over the batches of the two-sided percentile of each batch: two running sums are all its memory."""

    def __init__(self, percentile: float) -> None:
        self.percentile = percentile
        self.batches = 0
        self.low = self.high = 0.0

    def observe(self, values: np.ndarray[Any, np.dtype[np.float32]]) -> None:
        low, high = np.percentile(values, [100 - self.percentile, self.percentile])
        self.low += float(low)
        self.high += float(high)
        self.batches += 1

    def end_pass(self) -> None:
        pass

    def range(self) -> tuple[float, float]:
        batches = max(self.batches, 1)
        return min(self.low / batches, 0.0), max(self.high / batches, 0.0)


def create(grid: QuantizationType, options: Mapping[str, str]) -> BatchPercentile:
    text = options.get(OPTION, "99.9")
    try:
        percentile = float(text)
    except ValueError:
        raise OptionError(f"option '{OPTION}' is a number, not '{text}'") from None
    if not 50 < percentile <= 100:
        raise OptionError(f"option '{OPTION}' lies between 50 and 100, not {percentile:g}")
    return BatchPercentile(percentile)
