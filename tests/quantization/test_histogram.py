"""The histogram loses nothing while its range grows, and its memory does not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from rknn_ep.quantization.histogram import BINS, Histogram

BATCH = arrays.arrays(np.float32, st.integers(1, 200), elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False))


@settings(max_examples=300)
@given(st.lists(BATCH, min_size=1, max_size=6))
def test_every_value_is_counted_once_within_a_bin_of_where_it_is(batches: list[np.ndarray]) -> None:
    histogram = Histogram()
    for batch in batches:
        histogram.add(batch)
    everything = np.concatenate(batches)
    centres, counts = histogram.content()
    assert histogram.minimum == everything.min() and histogram.maximum == everything.max()
    assert histogram.zeros == np.count_nonzero(everything == 0)
    assert counts.sum() == np.count_nonzero(everything)
    assert centres.size <= BINS
    # The n-th smallest value lies within a bin of the n-th smallest centre; exact zeros are in no bin.
    rest = np.sort(everything[everything != 0]).astype(np.float64)
    spread = np.repeat(centres, counts.astype(np.int64))
    assert np.all(np.abs(spread - rest) <= 1.01 * histogram.width + np.abs(rest) * 2.0**-20)


def test_the_order_of_batches_does_not_matter_much() -> None:
    random = np.random.default_rng(0)
    batches = [random.normal(0, 10.0**power, 5000).astype(np.float32) for power in (-3, 0, 2, 1)]
    forward, backward = Histogram(), Histogram()
    for batch in batches:
        forward.add(batch)
    for batch in reversed(batches):
        backward.add(batch)
    assert forward.content()[1].sum() == backward.content()[1].sum() == 20000
    assert BINS / 4 <= forward.content()[0].size <= BINS


@pytest.mark.parametrize("values", [[3.4e38, -3.4e38], [1e-38, -2e-38], [1e-42], [5.0], [-5.0], [0.0]])
def test_extreme_values(values: list[float]) -> None:
    histogram = Histogram()
    histogram.add(np.array(values, np.float32))
    assert histogram.content()[1].sum() + histogram.zeros == len(values)


def test_empty_batches_are_nothing() -> None:
    histogram = Histogram()
    histogram.add(np.zeros((0, 3), np.float32))
    assert histogram.content()[0].size == 0
