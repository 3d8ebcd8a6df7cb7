"""BatchNormalization and per-channel constants fold into the convolution before them, and only there."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of

RANDOM = np.random.default_rng(1)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.uniform(0.5, 1.5, shape).astype(np.float32)


NORM = {"gamma": floats(6), "beta": floats(6), "mean": floats(6), "variance": floats(6)}
BATCH_NORM = "y = BatchNormalization <epsilon = 0.01> (c, gamma, beta, mean, variance)"
PRODUCERS = {
    "conv": ("c = Conv <pads = [1,1,1,1]> (x, w)", {"w": floats(6, 4, 3, 3)}),
    "conv with bias": ("c = Conv(x, w, b)", {"w": floats(6, 4, 1, 1), "b": floats(6)}),
    "grouped conv": ("c = Conv <group = 2> (x, w)", {"w": floats(6, 2, 3, 3)}),
    "transposed conv": ("c = ConvTranspose <strides = [2,2]> (x, w, b)", {"w": floats(4, 6, 2, 2), "b": floats(6)}),
    "grouped transposed conv": ("c = ConvTranspose <group = 2> (x, w)", {"w": floats(4, 3, 2, 2)}),
}


@pytest.mark.parametrize("producer", PRODUCERS)
def test_batch_normalization_folds(producer: str) -> None:
    body, numbers = PRODUCERS[producer]
    text = f"g (float[2,4,5,5] x) => (float[n,c,h,w] y) {{ {body}  {BATCH_NORM} }}"
    view = view_of(parse(text, **numbers, **NORM))
    assert op_types(view) == [body.split("= ")[1].split(" ")[0].split("(")[0]] and view.nodes[0].origins == {0, 1}
    assert view.nodes[0].facts.outputs[0].name == "y"
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", ["", ", b", ", s"])
def test_batch_normalization_folds_into_gemm(transposed: int, bias: str) -> None:
    attributes = f"<transB = {transposed}, alpha = 0.5, beta = 2.0>"
    text = f"g (float[3,4] x) => (float[3,6] y) {{ c = Gemm {attributes} (x, w{bias})  {BATCH_NORM} }}"
    weight = floats(6, 4) if transposed else floats(4, 6)
    extra = {"b": floats(6)} if bias == ", b" else {"s": floats(1)} if bias else {}
    view = view_of(parse(text, w=weight, **extra, **NORM))
    assert op_types(view) == ["Gemm"]
    assert_same_numbers(view)


@pytest.mark.parametrize(
    "body",
    [
        "y = Add(c, k)",
        "y = Add(k, c)",
        "y = Sub(c, k)",
        "y = Mul(k, c)",
        "y = Div(c, k)",
        "a = Mul(c, k)  y = Add(a, k)",
        "a = Mul(c, one)  b = Sub(a, k)  d = Identity(b)  y = Div(d, one)",
        "a = Identity(c)  y = BatchNormalization(a, gamma, beta, mean, variance)",
    ],
)
@pytest.mark.parametrize("shape", [(6, 1, 1), (1, 6, 1, 1), (1,), (1, 1, 1)])
def test_constants_per_channel_fold(body: str, shape: tuple[int, ...]) -> None:
    numbers = {"w": floats(6, 4, 3, 3), "k": floats(*shape), "one": np.array(2.0, np.float32), **NORM}
    numbers = {
        name: array
        for name, array in numbers.items()
        if f"{name})" in body or f"{name}," in body or f"({name}" in body or name == "w"
    }
    view = view_of(parse(f"g (float[1,4,5,5] x) => (float[1,6,3,3] y) {{ c = Conv(x, w)  {body} }}", **numbers))
    assert op_types(view) == ["Conv"] and view.nodes[0].origins == set(range(len(view.original.model.graph)))
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("y = Sub(k, c)", ["Conv", "Sub"]),
        ("y = Div(k, c)", ["Conv", "Div"]),
        ("y = Add(c, pixels)", ["Conv", "Add"]),
        ("y = Add(c, larger)", ["Conv", "Add"]),
        ("y = Add(c, c)", ["Conv", "Add"]),
        ("y = Div(c, zero)", ["Conv", "Div"]),
        ("r = Relu(c)  y = Mul(r, k)", ["Conv", "Relu", "Mul"]),
        ("d = Neg(c)  a = Add(c, k)  y = Mul(a, d)", ["Conv", "Neg", "Add", "Mul"]),
        ("y = Pow(c, k)", ["Conv", "Pow"]),
    ],
)
def test_what_is_not_affine_per_channel_stays(body: str, kept: list[str]) -> None:
    numbers = {
        "w": floats(6, 4, 3, 3),
        "k": floats(6, 1, 1),
        "pixels": floats(3, 3),
        "larger": floats(2, 6, 1, 1),
        "zero": np.zeros(1, np.float32),
    }
    proto = parse(
        f"g (float[1,4,5,5] x) => (float[n,c,h,w] y) {{ c = Conv(x, w)  {body} }}",
        **{name: array for name, array in numbers.items() if name in body or name == "w"},
    )
    view = view_of(proto)
    assert op_types(view) == kept
    assert_traceable(view)


def test_a_normalisation_without_a_convolution_stays_whole() -> None:
    text = "g (float[1,6,5,5] x) => (float[1,6,5,5] y) { y = BatchNormalization(x, gamma, beta, mean, variance) }"
    view = view_of(parse(text, **NORM))
    assert op_types(view) == ["BatchNormalization"]
    assert_same_numbers(view)


def test_a_convolution_that_is_an_output_or_shares_its_weight_keeps_it() -> None:
    text = """g (float[1,4,5,5] x) => (float[1,6,5,5] c, float[1,6,5,5] y, float[1,6,5,5] z)
    { c = Conv(x, w)  y = Mul(c, k)  d = Conv(x, w)  z = Mul(d, k) }"""
    view = view_of(parse(text, w=floats(6, 4, 1, 1), k=floats(6, 1, 1)))
    assert op_types(view) == ["Conv", "Mul", "Conv"] and "w" in view.model.graph.initializers
    assert_traceable(view)
    assert_same_numbers(view)


def test_a_weight_computed_at_run_time_and_training_mode_stay() -> None:
    dynamic = "g (float[1,4,5,5] x, float[6,4,1,1] w) => (float[1,6,5,5] y) { c = Conv(x, w)  y = Mul(c, k) }"
    assert op_types(view_of(parse(dynamic, k=floats(6, 1, 1)))) == ["Conv", "Mul"]
    training = """g (float[1,4,5,5] x) => (float[1,6,5,5] y)
    { c = Conv(x, w)  y, m, v = BatchNormalization <training_mode = 1> (c, gamma, beta, mean, variance) }"""
    assert op_types(view_of(parse(training, w=floats(6, 4, 1, 1), **NORM))) == ["Conv", "BatchNormalization"]


def test_float16_is_folded_in_higher_precision_and_never_to_infinity() -> None:
    text = "g (float16[1,4,5,5] x) => (float16[1,6,5,5] y) { c = Conv(x, w)  y = Mul(c, k) }"
    small = {"w": floats(6, 4, 1, 1).astype(np.float16), "k": floats(6, 1, 1).astype(np.float16)}
    view = view_of(parse(text, **small))
    assert op_types(view) == ["Conv"] and view.nodes[0].facts.outputs[0].dtype == "FLOAT16"
    # The weight is rounded once more than before: half a unit of float16 for each of 4 terms and the product.
    assert_same_numbers(view, ulps=4)
    large = {"w": np.full((6, 4, 1, 1), 300, np.float16), "k": np.full((6, 1, 1), 300, np.float16)}
    assert op_types(view_of(parse(text, **large))) == ["Conv", "Mul"]


def test_the_graph_keeps_its_type_and_is_valid() -> None:
    text = "g (float[1,4,5,5] x) => (float[1,6,3,3] y) { c = Conv(x, w)  y = BatchNormalization(c, gamma, beta, mean, variance) }"
    view = view_of(parse(text, w=floats(6, 4, 3, 3), **NORM))
    from rknn_ep.graph import serialize

    onnx.checker.check_model(onnx.ModelProto.FromString(serialize(view.model)), full_check=True)
