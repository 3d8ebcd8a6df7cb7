"""Affine integer grids: from a clipping range to scale and zero point, and between real values and codes.

Codes here are the signed ones of the vendor (int8: -128..127). QDQ models store 8-bit activations as uint8, which is
the same grid with every code and zero point moved up by 128.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rknn_ep.errors import QuantizationError
from rknn_ep.records import QuantizationType

Array = np.ndarray[Any, Any]

SMALLEST_SCALE = float(np.finfo(np.float32).tiny)
"""Below it float32 scales are denormal: 1 / scale would overflow."""
LARGEST_SCALE = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Range:
    """A clipping range of one tensor, in real values."""

    minimum: float
    maximum: float

    def with_zero(self) -> Range:
        """The range widened to hold zero, which every grid represents exactly."""
        return Range(min(self.minimum, 0.0), max(self.maximum, 0.0))

    def union(self, other: Range) -> Range:
        """The smallest range that holds both."""
        return Range(min(self.minimum, other.minimum), max(self.maximum, other.maximum))

    def times(self, factor: float) -> Range:
        """The range of values that are `factor` (positive) times as large."""
        return Range(self.minimum * factor, self.maximum * factor)

    def within(self, bounds: Range) -> Range:
        """The part inside `bounds`, still holding zero."""
        return Range(max(self.minimum, bounds.minimum), min(self.maximum, bounds.maximum)).with_zero()


def parameters(limits: Range, grid: QuantizationType) -> tuple[np.float32, int]:
    """Scale and zero point of a grid that covers `limits`, always with zero exactly representable.

    Symmetric: scale = max(|min|, |max|) / (2^(b-1) - 1), zero point 0.
    Asymmetric: scale = (max - min) / (qmax - qmin), zero point = qmin - round(min / scale).
    An empty range (all zeros) gets scale 1.

    Raises:
        QuantizationError: a limit is not finite, or minimum > maximum.
    """
    if not (math.isfinite(limits.minimum) and math.isfinite(limits.maximum) and limits.minimum <= limits.maximum):
        raise QuantizationError(f"no grid covers the range {limits.minimum} .. {limits.maximum}")
    low, high = limits.with_zero().minimum, limits.with_zero().maximum
    span = max(-low, high) if grid.symmetric else high - low
    steps = grid.qmax if grid.symmetric else grid.qmax - grid.qmin
    if span == 0.0:
        return np.float32(1.0), 0 if grid.symmetric else grid.qmin
    scale = np.float32(min(max(span / steps, SMALLEST_SCALE), LARGEST_SCALE))
    if grid.symmetric:
        return scale, 0
    zero_point = grid.qmin - round(low / float(scale))
    return scale, max(grid.qmin, min(grid.qmax, zero_point))


def quantize(values: Array, scale: Array | np.float32, zero_point: Array | int, grid: QuantizationType) -> Array:
    """Codes of `values` (any shape) as int32: saturate(round half to even(x / scale) + zero point), as ONNX defines.

    `scale` and `zero_point` broadcast against `values`.
    """
    with np.errstate(over="ignore"):
        steps = np.rint(np.asarray(values, np.float32) / scale)
    codes = np.clip(steps + np.asarray(zero_point, np.float32), grid.qmin, grid.qmax)
    result: Array = codes.astype(np.int32)
    return result


def dequantize(codes: Array, scale: Array | np.float32, zero_point: Array | int) -> Array:
    """Real values of codes as float32: (code - zero point) * scale."""
    return (np.asarray(codes, np.int32) - np.asarray(zero_point, np.int32)).astype(np.float32) * np.asarray(scale, np.float32)
