"""If, Loop and Scan go to the host as they are; whatever their bodies read from outside survives."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_ep.graph import serialize
from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of

LOOP = """g (float[2,3] x, int64 n) => (float[2,3] y, float[a,2,3] s)
{ one = Constant <value = float {1.5}> ()  a = Identity(x)  b = Add(a, one)  c = Dropout(b)
  y, s = Loop (n, , x) <body = step (int64 i, bool go, float[2,3] v) => (bool again, float[2,3] w, float[2,3] t)
    { again = Identity(go)  u = Identity(c)  k = Constant <value = float {0.5}> ()
      m = Mul(u, k)  w = Add(v, m)  t = Identity(b) }> }"""


def test_a_loop_keeps_its_body_and_what_it_captures() -> None:
    view = view_of(parse(LOOP))
    loop = next(one for one in view.nodes if one.node.op_type == "Loop")
    body = loop.node.attributes["body"].as_graph()
    assert [node.op_type for node in body] == ["Identity", "Identity", "Constant", "Mul", "Add", "Identity"]
    made = {value.name for one in view.nodes for value in one.node.outputs}
    assert {"b", "c"} <= made
    assert "body" not in loop.facts.attributes
    assert_traceable(view)
    assert_same_numbers(view, {"x": np.ones((2, 3), np.float32), "n": np.array(3)})


def test_the_original_is_left_as_it_was() -> None:
    proto = parse(LOOP)
    view = view_of(proto)
    before = serialize(view.original.model)
    assert [node.op_type for node in view.original.model.graph] == [node.op_type for node in proto.graph.node]
    view.model.graph.inputs[0].name = "renamed"
    view.nodes[-1].node.attributes["body"].as_graph().inputs[0].name = "also"
    assert serialize(view.original.model) == before


@pytest.mark.parametrize("opset", [11, 17])
def test_a_scan(opset: int) -> None:
    text = """g (float[3] start, float[5,3] xs) => (float[3] last, float[5,3] all)
    { h = Mul(start, two)
      last, all = Scan <num_scan_inputs = 1, body = step (float[3] c, float[3] v) => (float[3] d, float[3] e)
        { s = Add(c, v)  d = Add(s, h)  e = Identity(d) }> (start, xs) }"""
    view = view_of(parse(text, opset=opset, two=np.array(2, np.float32)))
    assert op_types(view) == ["Mul", "Scan"] and view.opset == 17
    assert_traceable(view)
    assert_same_numbers(view)


def test_a_convolution_whose_output_a_branch_reads_is_not_folded_away() -> None:
    text = """g (float[1,2,3,3] x, bool p) => (float[1,2,3,3] y, float[1,2,3,3] z)
    { c = Conv(x, w)  y = Mul(c, k)
      z = If (p) <then_branch = t () => (float[1,2,3,3] u) { u = Neg(c) },
              else_branch = e () => (float[1,2,3,3] v) { v = Abs(c) }> }"""
    view = view_of(parse(text, w=np.ones((2, 2, 1, 1), np.float32), k=np.full((2, 1, 1), 3, np.float32)))
    assert op_types(view) == ["Conv", "Mul", "If"]
    assert_traceable(view)
    assert_same_numbers(view)
