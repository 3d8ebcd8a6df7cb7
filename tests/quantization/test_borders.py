"""On the scales that are chosen every order of float32 operations rounds a sum to the same code."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rknn_ep.quantization.borders import LARGEST_DENOMINATOR, off_borders
from tests.quantization.helpers import Array, model_of, quantized, run

CONV = "Conv<pads=[1,1,1,1]>"
positive = st.floats(1e-3, 1.0)
rng = np.random.default_rng(0)


@given(positive, positive, positive)
def test_no_sum_is_near_a_border_between_codes(weight_scale: float, input_scale: float, output_scale: float) -> None:
    made = float(off_borders(np.float32(weight_scale), input_scale, output_scale))
    assert 1 - 1e-7 < made / weight_scale < 1.01
    rescaling = made * input_scale / output_scale
    values = np.arange(256 / rescaling) * rescaling
    nearest = 0.5 / LARGEST_DENOMINATOR if rescaling * LARGEST_DENOMINATOR >= 1 else 0.49 * rescaling
    # The scale is float32, which moves the largest value by half a unit in the last place.
    assert np.abs(values - np.floor(values) - 0.5).min() > nearest - 256 * 2**-24


def orders(sums: Array, weight_scale: Array, input_scale: np.float32, output_scale: np.float32) -> list[Array]:
    """Codes of `sums`, rescaled in the orders that are usual."""
    return [
        np.rint(sums * (input_scale * weight_scale) / output_scale),
        np.rint(sums * (input_scale * weight_scale / output_scale)),
        np.rint(sums * input_scale * weight_scale / output_scale),
        np.rint(sums * (input_scale / output_scale) * weight_scale),
        np.rint(sums * np.float32(1 / output_scale) * (input_scale * weight_scale)),
    ]


def test_no_order_of_operations_gives_another_code() -> None:
    sums = np.arange(-100_000, 100_000, dtype=np.float32)[:, None]
    scales = rng.uniform(2e-3, 2e-2, 200).astype(np.float32)
    given_as, chosen = np.zeros(4, int), np.zeros(4, int)
    for weights, found in ((scales, given_as), (off_borders(scales, 0.0173, 0.0291), chosen)):
        first, *others = orders(sums, weights, np.float32(0.0173), np.float32(0.0291))
        inside = np.abs(first) <= 255
        found += [int(np.count_nonzero((other != first) & inside)) for other in others]
    assert (given_as > 0).all()  # so there is something to avoid
    assert (chosen == 0).all()


def test_convolutions_are_the_same_however_onnxruntime_computes_them() -> None:
    weights = {name: rng.normal(0, 0.2, (16, 16, 3, 3)).astype(np.float32) for name in "abcd"}
    model = model_of(
        f"g (float[1,16,64,64] x) => (y) {{ p = {CONV}(x, a) q = Relu(p) r = {CONV}(q, b) s = {CONV}(r, c) y = {CONV}(s, d) }}",
        **weights,
    )
    made = quantized(model, [{"x": rng.normal(size=(1, 16, 64, 64)).astype(np.float32)} for _ in range(4)]).model
    x = {"x": rng.normal(size=(1, 16, 64, 64)).astype(np.float32)}
    assert np.array_equal(run(made, x), run(made, x, optimized=False))


def test_a_weight_of_two_readers_is_written_once() -> None:
    model = model_of(
        f"g (float[1,4,8,8] x) => (float[1,4,8,8] y) {{ c = {CONV}(x, w) d = Relu(c) y = {CONV}(d, w) }}",
        w=rng.normal(size=(4, 4, 3, 3)).astype(np.float32),
    )
    made = quantized(model, [{"x": rng.normal(size=(1, 4, 8, 8)).astype(np.float32)}]).model
    assert [node.name for node in made.graph if node.op_type == "DequantizeLinear" and "w" in node.name.split("_")] == [
        "w_DequantizeLinear"
    ]
