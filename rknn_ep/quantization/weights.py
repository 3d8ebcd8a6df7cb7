"""Integer weights and biases."""

from __future__ import annotations

from typing import Any

import numpy as np

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.affine import Range, dequantize, parameters, quantize
from rknn_ep.records import QuantizationType

Array = np.ndarray[Any, Any]

METHODS = ("minmax", "mmse")
SHRINK = np.linspace(1.0, 0.5, 41)
"""Candidates of mmse: fractions of the range of a channel."""
SMALLEST_SHARE = 2.0**-14
"""No channel's scale is below this share of the largest: such channels (pruned, or dead behind a BatchNormalization) add nothing
that could be seen. RKNN-Toolkit2 raises their scales to it whatever it is given (measured with 2.5.0), so that a model with
smaller ones would not be the same on the board. Some SoCs have a larger one: `Target.smallest_weight_share`."""
BIAS_LIMIT = 2**30
"""A bias takes at most half of the int32 range; the rest is for the sum it is added to."""


def quantize_weight(
    weight: Array, axis: int | None, grid: QuantizationType, method: str = "mmse", smallest_share: float = SMALLEST_SHARE
) -> tuple[Array, Array, Array]:
    """Codes, scales and zero points of a weight.

    Args:
        weight: float, any shape.
        axis: the output channel axis, one scale for each index along it; None: one scale for all.
        grid: symmetric int8 (-127..127, zero point 0) unless asked otherwise.
        method: `minmax` covers every weight; `mmse` clips where that lowers the squared error of the channel.
        smallest_share: of the largest channel's scale, below which no other's is.

    Returns:
        (codes int32 shaped like weight, scales float32, zero points int32); the last two have one entry a channel,
        or no axis.

    Raises:
        QuantizationError: a weight is not finite.
    """
    if not np.isfinite(weight).all():
        raise QuantizationError("a weight is not finite")
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1) if axis is not None else weight.reshape(1, -1)
    rows = np.ascontiguousarray(rows, np.float32)
    scales, zero_points = _row_parameters(rows, np.ones(len(rows)), grid)
    if method == "mmse":
        best = _row_errors(rows, scales, zero_points, grid)
        for fraction in SHRINK[1:]:
            tried, tried_zeros = _row_parameters(rows, np.full(len(rows), fraction), grid)
            errors = _row_errors(rows, tried, tried_zeros, grid)
            better = errors < best
            best = np.where(better, errors, best)
            scales, zero_points = np.where(better, tried, scales), np.where(better, tried_zeros, zero_points)
    scales, zero_points = scales.astype(np.float32), zero_points.astype(np.int32)
    if axis is None:
        return quantize(weight, scales[0], zero_points[0], grid), scales.reshape(()), zero_points.reshape(())
    scales = np.maximum(scales, scales.max(initial=0.0) * np.float32(smallest_share))
    return requantize(weight, axis, scales, zero_points, grid), scales, zero_points


def requantize(weight: Array, axis: int | None, scales: Array, zero_points: Array, grid: QuantizationType) -> Array:
    """Codes (int32) of a weight on given scales."""
    if axis is None:
        return quantize(weight, scales, zero_points, grid)
    shape = [1] * weight.ndim
    shape[axis] = -1
    return quantize(weight, scales.reshape(shape), zero_points.reshape(shape), grid)


def quantize_bias(bias: Array, input_scale: np.float32, weight_scales: Array) -> tuple[Array, Array]:
    """Codes (int32) and scales (float32, one a channel) of a bias at input_scale * weight_scale, zero point 0.

    `weight_scales` has one entry a channel, or none for one scale for all.

    Raises:
        QuantizationError: a code does not fit; `least_weight_scales` tells what would.
    """
    scales = np.asarray(np.float32(input_scale) * np.asarray(weight_scales, np.float32), np.float32)
    codes = np.rint(bias.astype(np.float64) / scales.astype(np.float64))
    if not np.all(np.abs(codes) < 2**31):
        raise QuantizationError("a bias does not fit into 32 bits at input scale * weight scale")
    return codes.astype(np.int32), scales


def least_weight_scales(bias: Array, input_scale: np.float32, weight_scales: Array) -> Array:
    """The weight scales, enlarged where a channel's weights are so small that its bias would not fit into int32."""
    needed = np.abs(bias.astype(np.float64)) / (float(input_scale) * BIAS_LIMIT)
    if weight_scales.ndim == 0:
        needed = needed.max(initial=0.0)
    return np.maximum(weight_scales.astype(np.float64), needed).astype(np.float32)


def _row_parameters(rows: Array, fraction: Array, grid: QuantizationType) -> tuple[Array, Array]:
    low, high = rows.min(axis=1, initial=0.0) * fraction, rows.max(axis=1, initial=0.0) * fraction
    pairs = [parameters(Range(float(a), float(b)), grid) for a, b in zip(low, high, strict=True)]
    return np.array([scale for scale, _ in pairs], np.float32), np.array([zero for _, zero in pairs], np.int32)


def _row_errors(rows: Array, scales: Array, zero_points: Array, grid: QuantizationType) -> Array:
    codes = quantize(rows, scales[:, None], zero_points[:, None], grid)
    result: Array = np.square(dequantize(codes, scales[:, None], zero_points[:, None]) - rows).sum(axis=1, dtype=np.float64)
    return result
