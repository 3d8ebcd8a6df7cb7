"""Constants per channel in front of a convolution fold into it; padding keeps the shift in front."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of

RANDOM = np.random.default_rng(2)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.uniform(0.5, 1.5, shape).astype(np.float32)


NUMBERS = {
    "k": floats(4, 1, 1),
    "s": floats(1),
    "w": floats(6, 4, 3, 3),
    "g": floats(6, 2, 3, 3),
    "d": floats(4, 1, 3, 3),
    "b": floats(6),
}
CONVOLUTIONS = {
    "plain": "y = Conv (a, w)",
    "bias": "y = Conv (a, w, b)",
    "grouped": "y = Conv <group = 2> (a, g, b)",
    "depthwise": "y = Conv <group = 4> (a, d)",
}


def model(body: str) -> object:
    used = {name: array for name, array in NUMBERS.items() if f" {name})" in body or f" {name}," in body or f"({name}," in body}
    return parse(f"g (float[2,4,7,7] x) => (float[n,c,h,w] y) {{ {body} }}", **used)


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
@pytest.mark.parametrize(
    "ahead", ["a = Mul(x, k)", "a = Add(x, k)", "m = Mul(s, x)  a = Add(m, k)", "m = Sub(x, s)  a = Div(m, k)"]
)
def test_without_padding_scale_and_shift_fold(convolution: str, ahead: str) -> None:
    view = view_of(model(f"{ahead}  {CONVOLUTIONS[convolution]}"))
    assert op_types(view) == ["Conv"]
    assert view.nodes[0].origins == set(range(ahead.count("=") + 1))
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize("padding", ["pads = [1,1,1,1]", 'auto_pad = "SAME_UPPER"'])
def test_with_padding_the_scale_folds_and_one_addition_stays(padding: str) -> None:
    view = view_of(model(f"m = Mul(s, x)  a = Add(m, k)  y = Conv <{padding}> (a, w, b)"))
    assert op_types(view) == ["Add", "Conv"]
    assert_traceable(view)
    assert_same_numbers(view)


def test_a_lone_addition_before_padding_is_left_as_it_is() -> None:
    view = view_of(model("a = Add(x, k)  y = Conv <pads = [1,1,1,1]> (a, w)"))
    assert op_types(view) == ["Add", "Conv"] and view.nodes[0].facts.outputs[0].name == "a"


def test_what_somebody_else_reads_stays() -> None:
    view = view_of(model("a = Mul(x, k)  c = Conv <group = 4, pads = [1,1,1,1]> (a, d)  y = Add(a, c)"))
    assert op_types(view) == ["Mul", "Conv", "Add"]
    assert_same_numbers(view)


def test_a_zero_scale_stays() -> None:
    view = view_of(
        parse(
            "g (float[1,4,5,5] x) => (float[n,c,h,w] y) { a = Mul(x, z)  y = Conv(a, w) }",
            z=np.zeros(1, np.float32),
            w=NUMBERS["w"],
        )
    )
    assert op_types(view) == ["Mul", "Conv"]
