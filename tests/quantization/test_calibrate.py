"""Calibration runs the float model once, names what is wrong, and keeps nothing of the samples."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest

from rknn_ep.errors import CalibrationError
from rknn_ep.quantization.affine import Range
from rknn_ep.records import Calibrator, QuantizationType
from tests.quantization.helpers import CALIBRATORS, Array, model_of, observed

RANDOM = np.random.default_rng(2)
MODEL = model_of(
    "g (float[1,3,16,16] x) => (float[1,3,16,16] y) { c = Conv<pads=[1,1,1,1]>(x, w) h = HardSwish(c) y = Mul(h, h) }",
    w=RANDOM.normal(0, 1, (3, 3, 3, 3)).astype(np.float32),
)


def sample(scale: float = 1.0) -> dict[str, Array]:
    return {"x": (RANDOM.normal(0, scale, (1, 3, 16, 16))).astype(np.float32)}


def test_only_tensors_that_need_a_scale_are_looked_at_and_bounds_hold() -> None:
    ranges = observed(MODEL, [sample(), sample(2)])
    assert set(ranges) == {"x", "c", "h", "y"}
    assert ranges["c"].minimum == -3.0  # HardSwish is 0 below
    assert ranges["x"].minimum < -3.0


def test_every_sample_widens_the_range() -> None:
    first, second = {"x": np.full((1, 3, 16, 16), -5, np.float32)}, {"x": np.full((1, 3, 16, 16), 7, np.float32)}
    assert observed(MODEL, [first, second])["x"] == Range(-5.0, 7.0)


def test_a_method_that_is_spared_the_values_finds_the_same_range() -> None:
    class Plain:
        """minmax without `observe_extremes`."""

        def __init__(self) -> None:
            self._observer = CALIBRATORS["minmax"].create(QuantizationType(8), {})
            self.observe, self.end_pass, self.range = self._observer.observe, self._observer.end_pass, self._observer.range

    samples = [sample(), sample(2), sample(0.01)]
    plain = observed(MODEL, samples, Calibrator("plain", lambda grid, options: Plain()))
    assert observed(MODEL, samples, "minmax") == plain


@pytest.mark.parametrize(("value", "kind"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_values_that_are_not_finite_name_the_tensor_and_the_sample(value: float, kind: str) -> None:
    bad = sample()
    bad["x"][0, 0, 3, 3] = value
    with pytest.raises(CalibrationError, match=f"tensor 'x' holds {kind} on calibration sample 2"):
        observed(MODEL, [sample(), sample(), bad])


def test_an_overflow_inside_the_model_names_the_inner_tensor() -> None:
    with pytest.raises(CalibrationError, match="tensor 'y' holds infinity on calibration sample 0"):
        observed(MODEL, [{"x": np.full((1, 3, 16, 16), 1e25, np.float32)}])


def test_no_samples() -> None:
    with pytest.raises(CalibrationError, match="no calibration samples"):
        observed(MODEL, [])


def test_a_method_of_two_passes_sees_everything_twice_and_hears_of_the_end_of_each() -> None:
    seen: list[str] = []

    class Observer:
        def observe(self, values: Array) -> None:
            seen.append("values")

        def end_pass(self) -> None:
            seen.append("end")

        def range(self) -> tuple[float, float]:
            return -1.0, 1.0

    CALIBRATORS["twice"] = Calibrator("twice", lambda grid, options: Observer(), passes=2)
    progress: list[tuple[int, int]] = []
    try:
        observed(MODEL, [sample(), sample()], "twice", progress=lambda *now: progress.append(now))
    finally:
        del CALIBRATORS["twice"]
    assert seen == (["values"] * 8 + ["end"] * 4) * 2
    assert progress == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize("answer", [(1.0, 2.0), (float("nan"), 1.0), (-1.0, float("inf"))])
def test_a_method_that_gives_nonsense_is_named(answer: tuple[float, float]) -> None:
    class Observer:
        def observe(self, values: Array) -> None: ...

        def end_pass(self) -> None: ...

        def range(self) -> tuple[float, float]:
            return answer

    CALIBRATORS["nonsense"] = Calibrator("nonsense", lambda grid, options: Observer())
    try:
        with pytest.raises(CalibrationError, match="'nonsense' gave the range"):
            observed(MODEL, [sample()], "nonsense")
    finally:
        del CALIBRATORS["nonsense"]


@pytest.mark.parametrize("method", CALIBRATORS)
def test_memory_does_not_grow_with_the_number_of_samples(method: str) -> None:
    class Stream:
        def __init__(self, count: int) -> None:
            self.count = count

        def __len__(self) -> int:
            return self.count

        def __iter__(self) -> Iterator[dict[str, Array]]:
            return (sample(1 + index % 3) for index in range(self.count))

    def peak(count: int) -> int:
        tracemalloc.start()
        observed(MODEL, Stream(count), method, grids=QuantizationType(8))
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(2)  # imports and caches
    few, many = peak(5), peak(60)
    assert many < few + 100_000  # the samples between are 55 * 4 * 3 KiB


@pytest.mark.parametrize("method", ["minmax", "percentile", "kl_divergence", "mmse", "normal"])
def test_ranges_do_not_depend_on_how_many_samples_run_at_once(method: str) -> None:
    samples = [sample(scale) for scale in (1, 3, 0.1, 2, 0.5, 4, 1, 0.01)]
    alone, together = observed(MODEL, samples, method, threads=1), observed(MODEL, samples, method, threads=4)
    assert together == alone


def test_of_several_bad_samples_that_run_at_once_the_first_is_named() -> None:
    bad = {"x": np.full((1, 3, 16, 16), np.nan, np.float32)}
    for _ in range(10):
        with pytest.raises(CalibrationError, match="on calibration sample 1"):
            observed(MODEL, [sample(), bad, bad, bad, sample()], threads=4)
