"""The native loops against numpy, at lengths around their lanes, blocks and stretches."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_ep.quantization.statistics import count_bins, extremes, row_sums

RANDOM = np.random.default_rng(5)
LENGTHS = [1, 2, 31, 32, 33, 255, 256, 257, 4095, 4096, 4097, 100_003]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("offset", [-9.0, 0.0, 9.0])
def test_extremes(length: int, offset: float) -> None:
    values = RANDOM.normal(offset, 1, length).astype(np.float32)
    assert extremes(values) == (values.min(), values.max())


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("place", ["first", "last", "middle"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_no_nan_or_infinity_is_overlooked(length: int, place: str, value: float) -> None:
    values = RANDOM.normal(0, 1, length).astype(np.float32)
    values[{"first": 0, "last": -1, "middle": length // 2}[place]] = value
    low, high = extremes(values)
    if np.isnan(value):
        assert np.isnan(low) and np.isnan(high)
    else:
        assert value in (low, high)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("rows", [1, 3])
def test_row_sums(length: int, rows: int) -> None:
    values = RANDOM.normal(1, 2, (rows, length)).astype(np.float32)
    wanted = values.sum(axis=1, dtype=np.float64)
    # 128 additions in float32 at most, each off by half a unit in the last place of a partial sum.
    np.testing.assert_allclose(row_sums(values, rows), wanted, rtol=0, atol=128 * 2.0**-24 * np.abs(values).sum(axis=1).max())


@pytest.mark.parametrize("length", LENGTHS)
def test_count_bins(length: int) -> None:
    bins, scale, shift = 512, 37.0, 250.0
    values = np.clip(RANDOM.normal(0, 2, length), -6, 6.9).astype(np.float32)
    values[::3] = 0.0
    numbers = np.trunc(values * np.float32(scale) + np.float32(shift)).astype(np.int64)
    counts = np.ones(bins, np.int64)
    assert count_bins(values, scale, shift, counts) == np.count_nonzero(values == 0)
    np.testing.assert_array_equal(counts, 1 + np.bincount(np.minimum(numbers, bins - 1), minlength=bins))


def test_what_rounding_takes_past_the_last_bin_is_put_there() -> None:
    counts = np.zeros(4, np.int64)
    count_bins(np.array([3.9999998, 4.0, 0.5], np.float32), 1.0, 0.0, counts)
    assert counts.tolist() == [1, 0, 0, 2]
