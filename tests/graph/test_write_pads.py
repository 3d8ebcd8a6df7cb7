"""auto_pad becomes pads, with the same numbers; what versions of ONNX disagree on stays."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_ep.graph import View
from tests.graph.helpers import assert_same_numbers, assert_traceable, parse, view_of

SIZES = {1: (11,), 2: (11, 8), 3: (7, 5, 6)}
OPERATORS = {
    "Conv": "y = Conv <{attributes}> (x, w)",
    "ConvTranspose": "y = ConvTranspose <{attributes}> (x, w)",
    "MaxPool": "y = MaxPool <{attributes}, kernel_shape = {kernel}> (x)",
    "AveragePool": "y = AveragePool <{attributes}, kernel_shape = {kernel}> (x)",
    "LpPool": "y = LpPool <{attributes}, kernel_shape = {kernel}> (x)",
}


def view(operator: str, dimensions: int, automatic: str, kernel: int, stride: int, more: str = "") -> View:
    attributes = f'auto_pad = "{automatic}", strides = {[stride] * dimensions}{more}'
    body = OPERATORS[operator].format(attributes=attributes, kernel=[kernel] * dimensions)
    shape = ",".join(map(str, (2, 3, *SIZES[dimensions])))
    weight = np.random.default_rng(1).standard_normal((3, 3, *[kernel] * dimensions)).astype(np.float32)
    constants = {"w": weight} if "Conv" in operator else {}
    return view_of(parse(f"g (float[{shape}] x) => (float[{','.join('abcde'[: dimensions + 2])}] y) {{ {body} }}", **constants))


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
@pytest.mark.parametrize("automatic", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (2, 2), (4, 3), (5, 2)])
def test_the_numbers_stay(operator: str, dimensions: int, automatic: str, kernel: int, stride: int) -> None:
    made = view(operator, dimensions, automatic, kernel, stride)
    (node,) = (one.node for one in made.nodes)
    assert "auto_pad" not in node.attributes
    assert_traceable(made)
    assert_same_numbers(made)


def test_which_side_gets_more() -> None:
    sides = [
        list(view("Conv", 1, automatic, 4, 1).nodes[0].node.attributes.get_ints("pads"))
        for automatic in ("SAME_UPPER", "SAME_LOWER")
    ]
    assert sides == [[1, 2], [2, 1]]


@pytest.mark.parametrize(
    ("operator", "kernel", "stride", "more"),
    [("MaxPool", 3, 2, ", ceil_mode = 1"), ("ConvTranspose", 2, 3, ""), ("ConvTranspose", 3, 2, ", output_shape = [22, 16]")],
)
def test_what_cannot_be_said_stays(operator: str, kernel: int, stride: int, more: str) -> None:
    assert "auto_pad" in view(operator, 2, "SAME_UPPER", kernel, stride, more).nodes[0].node.attributes
