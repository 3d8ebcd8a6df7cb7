"""What normalisation made useless goes; what was useless from the start is the host's."""

from __future__ import annotations

import numpy as np

from tests.graph.helpers import assert_traceable, op_types, parse, view_of


def test_what_only_a_folded_shape_needed_goes_with_it() -> None:
    text = "g (float[2,3] x, float[6] a) => (float[3,2] y) { t = Transpose(x)  s = Shape(t)  y = Reshape(a, s) }"
    view = view_of(parse(text))
    assert op_types(view) == ["Reshape"] and view.folded == {0, 1}
    assert_traceable(view)


def test_initializers_that_folding_replaced_are_not_kept() -> None:
    text = "g (float[1,2,3,3] x) => (float[1,2,3,3] y) { c = Conv(x, w)  y = Mul(c, k) }"
    view = view_of(parse(text, w=np.ones((2, 2, 1, 1), np.float32), k=np.full((2, 1, 1), 3, np.float32)))
    assert op_types(view) == ["Conv"] and sorted(view.model.graph.initializers) == ["y_bias", "y_weight"]


def test_a_node_that_was_idle_stays() -> None:
    view = view_of(parse("g (float[2] x) => (float[2] y) { y = Relu(x)  idle = Neg(y) }"))
    assert op_types(view) == ["Relu", "Neg"]
    assert_traceable(view)
