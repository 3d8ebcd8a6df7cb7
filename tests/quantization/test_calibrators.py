"""Every calibration method gives a range that makes sense for the tensors networks have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rknn_ep.errors import OptionError
from rknn_ep.quantization.affine import Range, dequantize, parameters, quantize
from rknn_ep.records import QuantizationType
from tests.quantization.helpers import CALIBRATORS

INT8, SIGNED = QuantizationType(8), QuantizationType(8, symmetric=True)
RANDOM = np.random.default_rng(3)
NORMAL = RANDOM.normal(0, 1, 200_000).astype(np.float32)
TENSORS = {
    "signed": NORMAL,
    "relu": np.maximum(NORMAL, 0),
    "silu": (NORMAL * 3 / (1 + np.exp(-NORMAL * 3))).astype(np.float32),
    "one outlier": np.append(NORMAL, np.float32(200)),
    "constant": np.full(1000, 0.3, np.float32),
    "negative": -np.abs(NORMAL),
}


def range_of(method: str, *batches: np.ndarray, grid: QuantizationType = INT8, **options: str) -> tuple[float, float]:
    observer = CALIBRATORS[method].create(grid, {key.replace("_", ".", 1): value for key, value in options.items()})
    for batch in batches:
        observer.observe(batch)
    observer.end_pass()
    return observer.range()


def error(values: np.ndarray, limits: tuple[float, float], grid: QuantizationType = INT8) -> float:
    scale, zero = parameters(Range(*limits), grid)
    return float(np.square(dequantize(quantize(values, scale, zero, grid), scale, zero) - values).mean())


@pytest.mark.parametrize("method", CALIBRATORS)
@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("grid", [INT8, SIGNED, QuantizationType(16, symmetric=True)], ids=["int8", "symmetric", "int16"])
def test_ranges_hold_zero_and_stay_inside_what_was_seen(method: str, tensor: str, grid: QuantizationType) -> None:
    values = TENSORS[tensor]
    low, high = range_of(method, values, grid=grid)
    assert min(values.min(), 0) <= low <= 0 <= high <= max(values.max(), 0)
    assert high > low


@pytest.mark.parametrize("method", CALIBRATORS)
def test_zeros_and_nothing_give_an_empty_range(method: str) -> None:
    assert range_of(method, np.zeros(10, np.float32)) == (0.0, 0.0)
    assert range_of(method) == (0.0, 0.0)


@pytest.mark.parametrize("method", CALIBRATORS)
def test_a_stream_in_batches_gives_what_one_batch_gives(method: str) -> None:
    whole = range_of(method, NORMAL)
    pieces = range_of(method, *np.array_split(NORMAL, 7))
    # Histograms that grew have bins up to twice as wide: 1/1024 of the range is two of the 2048 to 4096 bins.
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=10 / 1024 if method != "minmax" else 0)


def test_normal_is_the_mean_and_three_deviations_cut_to_what_was_seen() -> None:
    low, high = range_of("normal", NORMAL)
    np.testing.assert_allclose((low, high), (NORMAL.mean() - 3 * NORMAL.std(), NORMAL.mean() + 3 * NORMAL.std()), rtol=1e-5)
    assert range_of("normal", np.array([0, 1, 2], np.float32)) == (0.0, 2.0)
    low, high = range_of("normal", NORMAL, core_normal_k="1")
    np.testing.assert_allclose(high - low, 2 * NORMAL.std(), rtol=1e-5)


def test_percentile_leaves_out_its_share_at_both_ends() -> None:
    values = np.linspace(-1, 1, 100_001).astype(np.float32)
    low, high = range_of("percentile", values, core_percentile="98")
    np.testing.assert_allclose((low, high), (-0.98, 0.98), atol=2 / 1024)  # two bins
    assert range_of("percentile", values, core_percentile="100") == (-1.0, 1.0)


@pytest.mark.parametrize("tensor", TENSORS)
@pytest.mark.parametrize("grid", [INT8, SIGNED], ids=["asymmetric", "symmetric"])
def test_mmse_is_at_least_as_good_as_every_other_method(tensor: str, grid: QuantizationType) -> None:
    values = TENSORS[tensor]
    best = error(values, range_of("mmse", values, grid=grid), grid)
    for method in ("minmax", "percentile", "kl_divergence", "normal"):
        # 2 %: the histogram knows values to a bin only.
        assert best <= 1.02 * error(values, range_of(method, values, grid=grid), grid) + 1e-12


@pytest.mark.parametrize("tensor", ["signed", "relu", "silu", "negative"])
def test_kl_divergence_keeps_most_of_a_smooth_distribution_on_both_sides(tensor: str) -> None:
    values = TENSORS[tensor]
    low, high = range_of("kl_divergence", values)
    assert np.mean((values < low - 1e-6) | (values > high + 1e-6)) < 0.01


def test_an_outlier_is_clipped_by_kl_divergence_and_percentile_but_not_by_minmax() -> None:
    values = TENSORS["one outlier"]
    assert range_of("minmax", values)[1] == 200
    assert range_of("kl_divergence", values)[1] < 50
    assert range_of("percentile", values)[1] < 10


@pytest.mark.parametrize("option", ["core_percentile", "core_normal_k"])
@pytest.mark.parametrize("value", ["many", "0", "-1", "1e9", "nan"])
def test_settings_out_of_range_are_refused(option: str, value: str) -> None:
    method = "percentile" if option == "core_percentile" else "normal"
    with pytest.raises(OptionError, match=option.replace("_", ".", 1)):
        range_of(method, NORMAL, **{option: value})


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(CALIBRATORS)),
    st.lists(
        arrays.arrays(np.float32, st.integers(1, 40), elements=st.floats(-(2.0**100), 2.0**100, width=32)), min_size=1, max_size=3
    ),
)
def test_any_finite_tensor_gives_a_usable_range(method: str, batches: list[np.ndarray]) -> None:
    low, high = range_of(method, *batches)
    assert np.isfinite([low, high]).all() and low <= 0 <= high
    everything = np.concatenate(batches)
    assert low >= min(everything.min(), 0) - 1e-6 * abs(everything.min())
    assert high <= max(everything.max(), 0) + 1e-6 * abs(everything.max())
    parameters(Range(low, high), INT8)
