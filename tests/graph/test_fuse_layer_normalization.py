"""Layer normalisation as exporters write it out is recognised."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of

NUMBERS = {
    "two": np.array(2, np.float32),
    "e": np.array(1e-3, np.float32),
    "scale": np.linspace(0.5, 2, 8, dtype=np.float32),
    "bias": np.linspace(-1, 1, 8, dtype=np.float32),
    "wide": np.linspace(0.5, 2, 32, dtype=np.float32).reshape(4, 8),
    "rows": np.linspace(0.5, 2, 4, dtype=np.float32).reshape(4, 1),
}
MEAN = "m = ReduceMean <axes = [-1]> (x)  d = Sub(x, m)"
ROOT = "v = ReduceMean <axes = [-1]> (p)  s = Add(v, e)  r = Sqrt(s)"
FORMS = {
    "pow": f"{MEAN}  p = Pow(d, two)  {ROOT}  n = Div(d, r)  q = Mul(n, scale)  y = Add(q, bias)",
    "square by mul": f"{MEAN}  p = Mul(d, d)  {ROOT}  n = Div(d, r)  q = Mul(scale, n)  y = Add(bias, q)",
    "two differences": f"{MEAN}  p = Pow(d, two)  {ROOT}  d2 = Sub(x, m)  n = Div(d2, r)  q = Mul(n, scale)  y = Add(q, bias)",
    "reciprocal": f"{MEAN}  p = Pow(d, two)  {ROOT}  i = Reciprocal(r)  n = Mul(d, i)  q = Mul(n, scale)  y = Add(q, bias)",
    "no bias": f"{MEAN}  p = Pow(d, two)  {ROOT}  n = Div(d, r)  y = Mul(n, scale)",
    "no scale": f"{MEAN}  p = Pow(d, two)  {ROOT}  n = Div(d, r)  y = Add(n, bias)",
    "neither": f"{MEAN}  p = Pow(d, two)  {ROOT}  y = Div(d, r)",
    "two axes": "m = ReduceMean <axes = [1, 2]> (x)  d = Sub(x, m)  p = Mul(d, d)  "
    "v = ReduceMean <axes = [2, 1]> (p)  s = Add(e, v)  r = Sqrt(s)  n = Div(d, r)  y = Mul(n, wide)",
}
LOOKALIKES = {
    "another axis": f"m = ReduceMean <axes = [1]> (x)  d = Sub(x, m)  p = Pow(d, two)  {ROOT}  n = Div(d, r)  y = Mul(n, scale)",
    "not the last axis": "m = ReduceMean <axes = [1]> (x)  d = Sub(x, m)  p = Pow(d, two)  "
    "v = ReduceMean <axes = [1]> (p)  s = Add(v, e)  r = Sqrt(s)  y = Div(d, r)",
    "variance read elsewhere": f"{MEAN}  p = Pow(d, two)  {ROOT}  n = Div(d, r)  y = Add(n, v)",
    "another numerator": f"{MEAN}  p = Pow(d, two)  {ROOT}  y = Div(x, r)",
    "cube": f"{MEAN}  p = Pow(d, e)  {ROOT}  y = Div(d, r)",
}


def model(body: str) -> object:
    used = {name: array for name, array in NUMBERS.items() if f"{name})" in body or f"({name}," in body}
    return view_of(parse(f"g (float[2,4,8] x) => (float[2,4,8] y) {{ {body} }}", **used))


@pytest.mark.parametrize("form", FORMS)
def test_a_form_becomes_one_node(form: str) -> None:
    view = model(FORMS[form])
    assert op_types(view) == ["LayerNormalization"] and view.nodes[0].origins == set(range(len(view.original.model.graph)))
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize("form", LOOKALIKES)
def test_a_lookalike_stays(form: str) -> None:
    view = model(LOOKALIKES[form])
    assert "LayerNormalization" not in op_types(view)
    assert_traceable(view)


def test_a_scale_over_other_axes_stays_behind_the_normalisation() -> None:
    view = model(f"{MEAN}  p = Pow(d, two)  {ROOT}  n = Div(d, r)  y = Mul(n, rows)")
    assert op_types(view) == ["LayerNormalization", "Mul"]
    assert_traceable(view)
    assert_same_numbers(view)
