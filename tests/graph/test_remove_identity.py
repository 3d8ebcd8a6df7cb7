"""Identity, Dropout and x * 1 go, and no name that somebody needs goes with them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a = Relu(x)  y = Identity(a)  z = Neg(y)", ["Relu", "Neg"]),
        ("a = Relu(x)  b = Identity(a)  y = Sigmoid(a)  z = Neg(b)", ["Relu", "Sigmoid", "Neg"]),
        ("a = Relu(x)  b = Dropout(a)  c = Identity(b)  y = Sigmoid(c)  z = Neg(c)", ["Relu", "Sigmoid", "Neg"]),
        ("b = Identity(x)  y = Sigmoid(b)  z = Neg(y)", ["Sigmoid", "Neg"]),
        # Both outputs must have their names, and an input cannot be renamed.
        ("y = Identity(x)  z = Neg(y)", ["Identity", "Neg"]),
        ("y = Dropout(x)  z = Neg(y)", ["Identity", "Neg"]),
        # Two readers of the copy and one of what it copies: no single node could stand for the Identity.
        ("b = Identity(x)  c = Identity(b)  y = Add(b, c)  d = Mul(b, c)  z = Add(d, x)", None),
        ("a = Relu(x)  y = Identity(a)  z = Identity(a)", ["Relu", "Identity", "Identity"]),
    ],
)
def test_which_node_takes_the_identity_over(body: str, expected: list[str] | None) -> None:
    view = view_of(parse(f"g (float[2,3] x) => (float[2,3] y, float[2,3] z) {{ {body} }}"))
    if expected is not None:
        assert op_types(view) == expected
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("a = Relu(x)  b = Mul(a, one)  c = Sigmoid(b)  y = Mul(a, c)", ["Relu", "Sigmoid", "Mul"]),
        ("a = Relu(x)  b = Mul(one, a)  y = Neg(b)", ["Relu", "Neg"]),
        ("a = Mul(x, two)  y = Mul(a, ones)", ["Mul", "Mul"]),
        ("y = Mul(x, one)", ["Identity"]),
        # It adds a dimension.
        ("a = Mul(x, deep)  y = ReduceSum<keepdims=0>(a, first)", ["Mul", "ReduceSum"]),
    ],
)
def test_a_product_with_one_goes(body: str, expected: list[str]) -> None:
    arrays = {"one": np.ones((), np.float32), "two": np.full(1, 2, np.float32), "deep": np.ones((1, 1, 1), np.float32)}
    arrays |= {"ones": np.ones(3, np.float32), "first": np.zeros(1, np.int64)}
    used = {
        name: array
        for name, array in arrays.items()
        if name in body.replace("(", " ").replace(")", " ").replace(",", " ").split()
    }
    view = view_of(parse(f"g (float[2,3] x) => (float[2,3] y) {{ {body} }}", **used))
    assert op_types(view) == expected
    assert_traceable(view)
    assert_same_numbers(view)


def test_a_copied_constant_is_a_constant_and_may_be_an_output() -> None:
    view = view_of(
        parse("g (float[2] x) => (float[2] y, float[2] z) { z = Identity(w)  y = Add(x, z) }", w=np.ones(2, np.float32))
    )
    assert op_types(view) == ["Add"] and view.folded == {0}
    assert_traceable(view)
    assert_same_numbers(view)


def test_a_copy_that_a_branch_reads_keeps_its_name() -> None:
    text = """g (float[2] x, bool p) => (float[2] y)
    { a = Relu(x)  b = Identity(a)
      y = If (p) <then_branch = t () => (float[2] u) { u = Neg(b) }, else_branch = e () => (float[2] v) { v = Abs(b) }> }"""
    view = view_of(parse(text))
    assert op_types(view) == ["Relu", "If"] and view.nodes[0].node.outputs[0].name == "b"
    assert_traceable(view)
    assert_same_numbers(view)


def test_a_dropout_whose_mask_is_read_or_that_trains_stays() -> None:
    mask = parse("g (float[2] x) => (float[2] y, bool[2] m) { y, m = Dropout(x) }")
    assert op_types(view_of(mask)) == ["Dropout"]
    training = parse("g (float[2] x) => (float[2] y) { y = Dropout(x, r, t) }", r=np.array(0.5, np.float32), t=np.array(True))
    assert op_types(view_of(training)) == ["Dropout"]
    inference = parse(
        "g (float[2] x) => (float[2] y) { a = Relu(x) y = Dropout(a, r, t) }", r=np.array(0.5, np.float32), t=np.array(False)
    )
    assert op_types(view_of(inference)) == ["Relu"]
