"""Float16 models: the view keeps their types, and a float32 copy is to be had."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from rknn_ep.errors import ModelError
from rknn_ep.graph import serialize, to_float32
from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, random_feed, session, view_of

TEXT = """g (float16[1,4,5,5] x) => (float16[1,6,5,5] y, float[1,6,5,5] z)
{ c = Conv(x, w)
  h = Constant <value = float[1] {2.0}> ()  f = Cast <to = 10> (h)  a = Relu(c)  y = Mul(a, f)  z = Cast <to = 1> (a) }"""
WEIGHT = {"w": np.random.default_rng(0).uniform(-1, 1, (6, 4, 1, 1)).astype(np.float16)}


def test_the_view_of_a_float16_model_keeps_its_types() -> None:
    view = view_of(parse(TEXT, **WEIGHT))
    assert op_types(view) == ["Conv", "Relu", "Mul", "Cast"]
    assert [one.facts.outputs[0].dtype for one in view.nodes] == ["FLOAT16", "FLOAT16", "FLOAT16", "FLOAT"]
    assert_traceable(view)
    assert_same_numbers(view)


@pytest.mark.parametrize("keep_border", [True, False])
def test_the_float32_copy_has_the_same_names_and_nearly_the_same_numbers(keep_border: bool) -> None:
    view = view_of(parse(TEXT, **WEIGHT))
    copy = to_float32(view.model, keep_border=keep_border)
    proto = onnx.ModelProto.FromString(serialize(copy))
    onnx.checker.check_model(proto, full_check=True)
    kinds = [value.type.tensor_type.elem_type for value in (*proto.graph.input, *proto.graph.output)]
    half, single = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert kinds == ([half, half, single] if keep_border else [single] * 3)
    assert [value.name for value in (*proto.graph.input, *proto.graph.output)] == ["x", "y", "z"]
    assert all(tensor.data_type == single for tensor in proto.graph.initializer)
    feed = random_feed(view)
    expected = session(serialize(view.original.model)).run(None, feed)
    found = session(serialize(copy)).run(
        None, {name: array.astype(np.float16 if keep_border else np.float32) for name, array in feed.items()}
    )
    for one, other in zip(expected, found, strict=True):
        # float16 rounds after each of three operators, and a sum of four terms once more.
        assert np.abs(one.astype(np.float64) - other).max() <= 4 * np.finfo(np.float16).eps * np.abs(one).max()
    assert view.model.graph.inputs[0].dtype is not None and view.model.graph.inputs[0].dtype.name == "FLOAT16"


def test_a_float32_model_is_copied_as_it_is() -> None:
    view = view_of(parse("g (float[2] x) => (float[2] y) { y = Relu(x) }"))
    assert serialize(to_float32(view.model)) == serialize(view.model)


def test_a_branch_of_float16_is_refused() -> None:
    text = """g (float16[2] x, bool p) => (float16[2] y)
    { y = If (p) <then_branch = t () => (float16[2] u) { u = Neg(x) }, else_branch = e () => (float16[2] v) { v = Abs(x) }> }"""
    with pytest.raises(ModelError, match="If"):
        to_float32(view_of(parse(text)).model)
