"""Every exported form of HardSwish is recognised; what only looks like it is not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of

NUMBERS = {
    "three": np.array(3, np.float32),
    "zero": np.array(0, np.float32),
    "six": np.array(6, np.float32),
    "sixth": np.array([1 / 6], np.float32),
    "two": np.array(2, np.float32),
    "half": np.array(0.5, np.float32),
}
CLIP = "a = Add(x, three)  c = Clip(a, zero, six)"
FORMS = {
    "divided last": f"{CLIP}  m = Mul(x, c)  y = Div(m, six)",
    "swapped": "a = Add(three, x)  c = Clip(a, zero, six)  m = Mul(c, x)  y = Div(m, six)",
    "multiplied last": f"{CLIP}  m = Mul(x, c)  y = Mul(m, sixth)",
    "gate divided": f"{CLIP}  d = Div(c, six)  y = Mul(x, d)",
    "gate multiplied": f"{CLIP}  d = Mul(sixth, c)  y = Mul(d, x)",
    "input divided": f"{CLIP}  d = Div(x, six)  y = Mul(d, c)",
    "in two steps": f"{CLIP}  d = Div(x, two)  e = Mul(d, c)  f = Mul(e, sixth)  y = Mul(f, two)",
    "hard sigmoid": "h = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)  y = Mul(x, h)",
    "hard sigmoid swapped": "h = HardSigmoid <alpha = 0.1666666716337204> (x)  y = Mul(h, x)",
}
LOOKALIKES = {
    "another input": f"r = Relu(x)  {CLIP}  m = Mul(r, c)  y = Div(m, six)",
    "another factor": f"{CLIP}  m = Mul(x, c)  y = Mul(m, half)",
    "another shift": "a = Add(x, two)  c = Clip(a, zero, six)  m = Mul(x, c)  y = Div(m, six)",
    "another limit": "a = Add(x, three)  c = Clip(a, zero, three)  m = Mul(x, c)  y = Div(m, six)",
    "no lower limit": "a = Add(x, three)  c = Clip(a, , six)  m = Mul(x, c)  y = Div(m, six)",
    "read elsewhere": f"{CLIP}  m = Mul(x, c)  d = Div(m, six)  y = Add(d, c)",
    "default hard sigmoid": "h = HardSigmoid(x)  y = Mul(x, h)",
    "divided by it": f"{CLIP}  m = Div(x, c)  y = Div(m, six)",
}


def model(body: str, opset: int = 17) -> object:
    used = {name: array for name, array in NUMBERS.items() if name in body}
    return view_of(parse(f"g (float[1,3,4] x) => (float[1,3,4] y) {{ {body} }}", opset=opset, **used))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opset", [11, 17])
def test_a_form_becomes_one_node_with_all_its_originals(form: str, opset: int) -> None:
    view = model(FORMS[form], opset)
    assert op_types(view) == ["HardSwish"] and view.nodes[0].origins == set(range(len(view.original.model.graph)))
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize("form", LOOKALIKES)
def test_a_lookalike_stays(form: str) -> None:
    view = model(LOOKALIKES[form])
    assert "HardSwish" not in op_types(view)
    assert_traceable(view)
    assert_same_numbers(view)


def test_limits_as_attributes() -> None:
    body = "a = Add(x, three)  c = Clip <min = 0.0, max = 6.0> (a)  m = Mul(x, c)  y = Div(m, six)"
    assert op_types(model(body, 10)) == ["HardSwish"]


def test_two_in_a_row() -> None:
    body = (
        f"{CLIP}  m = Mul(x, c)  s = Div(m, six)  a2 = Add(s, three)  c2 = Clip(a2, zero, six)  d2 = Div(c2, six)  y = Mul(s, d2)"
    )
    view = model(body)
    assert op_types(view) == ["HardSwish", "HardSwish"]
    assert_traceable(view)
    assert_same_numbers(view)


def test_float16_constants_are_near_enough() -> None:
    proto = parse(
        "g (float16[4] x) => (float16[4] y) { a = Add(x, three)  c = Clip(a, zero, six)  d = Mul(c, sixth)  y = Mul(x, d) }",
        **{name: NUMBERS[name].astype(np.float16) for name in ("three", "zero", "six", "sixth")},
    )
    assert op_types(view_of(proto)) == ["HardSwish"]
