"""HardSigmoid that a frontend took apart is recognised; what only looks like it is not."""

from __future__ import annotations

import numpy as np
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of

NUMBERS = {
    "slope": np.array(0.2, np.float32),
    "falling": np.array(-0.2, np.float32),
    "half": np.array([0.5], np.float32),
    "zero": np.array(0, np.float32),
    "one": np.array(1, np.float32),
    "six": np.array(6, np.float32),
    "row": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
    "sixth": np.array(1 / 6, np.float32),
}
FORMS = {
    "as written": "m = Mul(x, slope)  a = Add(m, half)  y = Clip(a, zero, one)",
    "swapped": "m = Mul(slope, x)  a = Add(half, m)  y = Clip(a, zero, one)",
}
LOOKALIKES = {
    "falls": "m = Mul(x, falling)  a = Add(m, half)  y = Clip(a, zero, one)",
    "another limit": "m = Mul(x, slope)  a = Add(m, half)  y = Clip(a, zero, six)",
    "a slope a column": "m = Mul(x, row)  a = Add(m, half)  y = Clip(a, zero, one)",
    "read elsewhere": "m = Mul(x, slope)  a = Add(m, half)  c = Clip(a, zero, one)  y = Add(c, m)",
    "no lower limit": "m = Mul(x, slope)  a = Add(m, half)  y = Clip(a, , one)",
}


def model(body: str, opset: int = 17) -> object:
    used = {name: array for name, array in NUMBERS.items() if name in body}
    return view_of(parse(f"g (float[1,3,4] x) => (float[1,3,4] y) {{ {body} }}", opset=opset, **used))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("opset", [11, 17])
def test_a_form_becomes_one_node_with_all_its_originals(form: str, opset: int) -> None:
    view = model(FORMS[form], opset)
    assert op_types(view) == ["HardSigmoid"] and view.nodes[0].origins == set(range(len(view.original.model.graph)))
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize("form", LOOKALIKES)
def test_a_lookalike_stays(form: str) -> None:
    view = model(LOOKALIKES[form])
    assert "HardSigmoid" not in op_types(view)
    assert_traceable(view)
    assert_same_numbers(view)


def test_times_its_input_it_is_hard_swish() -> None:
    view = model("m = Mul(x, sixth)  a = Add(m, half)  c = Clip(a, zero, one)  y = Mul(x, c)")
    assert op_types(view) == ["HardSwish"]
    assert_same_numbers(view)
