"""Constant nodes become initializers."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of


@pytest.mark.parametrize(
    ("constant", "expected"),
    [
        ("value = float[2] {1.5, 2}", [1.5, 2]),
        ("value_float = 2.5", 2.5),
        ("value_floats = [1.0, 2.0]", [1, 2]),
    ],
)
def test_every_form_of_constant_keeps_its_name_and_value(constant: str, expected: object) -> None:
    view = view_of(parse(f"g (float[2] x) => (float[2] y) {{ c = Constant <{constant}> ()  y = Add(x, c) }}"))
    assert op_types(view) == ["Add"] and view.folded == {0}
    tensor = view.model.graph.initializers["c"].const_value
    assert tensor is not None and np.array_equal(tensor.numpy(), np.array(expected, np.float32))
    assert_same_numbers(view)


def test_integers_and_strings() -> None:
    text = """g (int64[2] x) => (int64[2] y, string[1] s, string t)
    { a = Constant <value_int = 3> ()  b = Constant <value_ints = [1, 2]> ()  c = Add(x, a)  y = Mul(c, b)
      s = Constant <value_strings = ["p"]> ()  t = Constant <value_string = "q"> () }"""
    view = view_of(parse(text))
    assert op_types(view) == ["Add", "Mul"] and view.folded == {0, 1, 4, 5}
    assert [value.name for value in view.model.graph.outputs] == ["y", "s", "t"]
    assert view.model.graph.initializers["s"].const_value.numpy().tolist() == [b"p"]  # type: ignore[union-attr]
    assert view.model.graph.initializers["t"].const_value.numpy().tolist() == b"q"  # type: ignore[union-attr]


def test_a_constant_that_a_branch_reads_keeps_its_name() -> None:
    text = """g (float[2] x, bool p) => (float[2] y)
    { c = Constant <value = float[2] {1, 2}> ()
      y = If (p) <then_branch = t () => (float[2] a) { a = Add(x, c) }, else_branch = e () => (float[2] b) { b = Sub(x, c) }> }"""
    view = view_of(parse(text))
    assert op_types(view) == ["If"] and "c" in view.model.graph.initializers
    assert_traceable(view)
    assert_same_numbers(view)
