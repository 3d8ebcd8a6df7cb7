"""Scale and zero point follow the formulas, and zero is always a code."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.affine import Range, dequantize, parameters, quantize
from rknn_ep.records import QuantizationType

LIMIT = st.floats(min_value=-(2.0**100), max_value=2.0**100, allow_nan=False, width=32)
GRIDS = st.builds(QuantizationType, bits=st.sampled_from([4, 8, 16]), symmetric=st.booleans())


def test_symmetric_scale_is_the_larger_limit_by_the_largest_code() -> None:
    assert parameters(Range(-2.0, 6.35), QuantizationType(8, symmetric=True)) == (np.float32(6.35 / 127), 0)
    assert parameters(Range(-8.0, 6.0), QuantizationType(16, symmetric=True)) == (np.float32(8.0 / 32767), 0)


def test_asymmetric_scale_and_zero_point() -> None:
    scale, zero = parameters(Range(-1.0, 3.0), QuantizationType(8))
    assert scale == np.float32(4.0 / 255)
    assert zero == -128 - round(-1.0 / (4.0 / 255))


@pytest.mark.parametrize(("low", "high"), [(1.0, 3.0), (-3.0, -1.0)])
def test_a_range_beside_zero_is_widened_to_hold_it(low: float, high: float) -> None:
    scale, zero = parameters(Range(low, high), QuantizationType(8))
    assert scale == np.float32(3.0 / 255)
    assert zero == (-128 if low > 0 else 127)


def test_all_zeros_get_scale_one() -> None:
    assert parameters(Range(0.0, 0.0), QuantizationType(8)) == (1.0, -128)
    assert parameters(Range(0.0, 0.0), QuantizationType(8, symmetric=True)) == (1.0, 0)


@pytest.mark.parametrize("limits", [(float("nan"), 1.0), (0.0, float("inf")), (2.0, 1.0)])
def test_impossible_ranges_are_refused(limits: tuple[float, float]) -> None:
    with pytest.raises(QuantizationError, match="no grid covers"):
        parameters(Range(*limits), QuantizationType(8))


@given(LIMIT, LIMIT, GRIDS)
def test_zero_is_exact_and_the_range_is_covered(a: float, b: float, grid: QuantizationType) -> None:
    limits = Range(min(a, b), max(a, b)).with_zero()
    scale, zero = parameters(limits, grid)
    assert np.isfinite(scale) and scale > 0 and np.isfinite(np.float32(1) / scale)
    assert grid.qmin <= zero <= grid.qmax
    assert dequantize(quantize(np.zeros(1), scale, zero, grid), scale, zero) == 0
    # Each limit is within half a step of a code, and a float32 rounding of the scale times the number of steps.
    ends = np.array([limits.minimum, limits.maximum], np.float32)
    back = dequantize(quantize(ends, scale, zero, grid), scale, zero)
    slack = np.abs(ends) * 2.0**-22
    assert np.all(np.abs(back.astype(np.float64) - ends) <= 0.51 * float(scale) + slack)


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50), GRIDS)
def test_values_inside_the_range_move_by_half_a_step_at_most(values: list[float], grid: QuantizationType) -> None:
    array = np.array(values, np.float32)
    limits = Range(float(array.min()), float(array.max())).with_zero()
    scale, zero = parameters(limits, grid)
    back = dequantize(quantize(array, scale, zero, grid), scale, zero)
    # The zero point is rounded, so the outermost values may lie half a step outside the grid: together one step.
    assert np.all(np.abs(back.astype(np.float64) - array) <= 1.001 * float(scale) + np.abs(array) * 2.0**-22)


@given(st.integers(-128, 127), st.floats(2.0**-100, 2.0**100, width=32), st.integers(-128, 127))
def test_codes_survive_the_way_there_and_back(code: int, scale: float, zero: int) -> None:
    grid = QuantizationType(8)
    real = dequantize(np.array([code]), np.float32(scale), zero)
    assert quantize(real, np.float32(scale), zero, grid)[0] == code


def test_rounding_is_half_to_even_and_saturates() -> None:
    values = np.array([0.5, 1.5, 2.5, -0.5, 1000.0, -1000.0, np.inf], np.float32)
    assert quantize(values, np.float32(1), 0, QuantizationType(8)).tolist() == [0, 2, 2, 0, 127, -128, 127]
