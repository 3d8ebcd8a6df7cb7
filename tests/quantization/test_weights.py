"""Weights and biases on integer grids."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.affine import dequantize
from rknn_ep.quantization.weights import least_weight_scales, quantize_bias, quantize_weight
from rknn_ep.records import QuantizationType

SYMMETRIC, ASYMMETRIC = QuantizationType(8, symmetric=True), QuantizationType(8)
WEIGHT = np.random.default_rng(1).normal(0, [[[[1.0]]], [[[0.1]]], [[[5.0]]]], (3, 4, 3, 3)).astype(np.float32)


def real(codes: np.ndarray, scales: np.ndarray, zeros: np.ndarray) -> np.ndarray:
    shape = (-1, 1, 1, 1) if scales.ndim else ()
    return dequantize(codes, scales.reshape(shape), zeros.reshape(shape))


@pytest.mark.parametrize("grid", [SYMMETRIC, ASYMMETRIC], ids=["symmetric", "asymmetric"])
@pytest.mark.parametrize("axis", [0, None], ids=["per channel", "per layer"])
@pytest.mark.parametrize("method", ["minmax", "mmse"])
def test_weights_stay_within_their_grid_and_near_themselves(grid: QuantizationType, axis: int | None, method: str) -> None:
    codes, scales, zeros = quantize_weight(WEIGHT, axis, grid, method)
    assert codes.min() >= grid.qmin and codes.max() <= grid.qmax
    assert scales.shape == zeros.shape == ((3,) if axis == 0 else ())
    if grid.symmetric:
        assert not zeros.any() and codes.min() >= -127
    if method == "minmax":
        step = scales.reshape(-1, 1, 1, 1) if axis == 0 else scales
        # Half a step, and half a step more at the ends where the zero point is rounded.
        assert np.all(np.abs(real(codes, scales, zeros) - WEIGHT) <= (0.501 if grid.symmetric else 1.001) * step)


@pytest.mark.parametrize("axis", [0, None])
def test_mmse_is_never_worse_than_minmax(axis: int | None) -> None:
    errors = {}
    for method in ("minmax", "mmse"):
        codes, scales, zeros = quantize_weight(WEIGHT, axis, SYMMETRIC, method)
        errors[method] = np.square(real(codes, scales, zeros) - WEIGHT).sum()
    assert errors["mmse"] <= errors["minmax"]


@pytest.mark.parametrize("share", [2.0**-14, 2.0**-10])
def test_no_channels_scale_is_below_its_share_of_the_largest(share: float) -> None:
    rows = np.array([[1.0], [2.0**-9], [2.0**-12], [2.0**-20]], np.float32)
    codes, scales, zeros = quantize_weight(rows, 0, SYMMETRIC, "minmax", share)
    assert scales.tolist() == pytest.approx([max(row, share) / 127 for row in rows.reshape(-1)])
    assert np.all(np.abs(dequantize(codes, scales.reshape(-1, 1), zeros.reshape(-1, 1)) - rows) <= 0.501 * scales.reshape(-1, 1))


def test_a_channel_of_zeros_and_weights_that_are_not_finite() -> None:
    codes, scales, _ = quantize_weight(np.zeros((2, 3), np.float32), 0, SYMMETRIC)
    assert not codes.any() and np.all(scales == 1)
    with pytest.raises(QuantizationError, match="not finite"):
        quantize_weight(np.array([[np.nan]]), 0, SYMMETRIC)


def test_a_bias_is_on_the_scale_of_the_products() -> None:
    bias = np.array([1.0, -2.0], np.float32)
    codes, scales = quantize_bias(bias, np.float32(0.5), np.array([0.25, 0.125], np.float32))
    assert scales.tolist() == [0.125, 0.0625] and codes.tolist() == [8, -32] and codes.dtype == np.int32


def test_weight_scales_grow_until_the_bias_fits() -> None:
    bias = np.array([1.0, 1e6], np.float32)
    tiny = np.array([1e-3, 1e-12], np.float32)
    with pytest.raises(QuantizationError, match="32 bits"):
        quantize_bias(bias, np.float32(1e-3), tiny)
    grown = least_weight_scales(bias, np.float32(1e-3), tiny)
    assert grown[0] == tiny[0] and grown[1] > tiny[1]
    codes, scales = quantize_bias(bias, np.float32(1e-3), grown)
    np.testing.assert_allclose(codes * scales.astype(np.float64), bias, rtol=1e-6)
