"""Shapes become static and what depends on constants and shapes alone becomes constant, without the model growing."""

from __future__ import annotations

import numpy as np
import onnx

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, view_of


def test_a_shape_chain_folds_in_one_walk_and_the_reshape_behind_it_is_static() -> None:
    text = """g (float[n,3,h,w] x) => (float[p,q] y)
    { s = Shape(x)  b = Gather(s, zero)  u = Unsqueeze(b, axes)  m = Constant <value_ints = [-1]> ()
      t = Concat <axis = 0> (u, m)  r = Reshape(x, t)  y = Relu(r)  k = Size(r) }"""
    view = view_of(parse(text, zero=np.array(0), axes=np.array([0])), input_shapes={"x": (2, 3, 4, 5)})
    assert op_types(view) == ["Reshape", "Relu"] and view.folded == {0, 1, 2, 3, 4, 7}
    assert view.nodes[1].facts.outputs[0].shape == (2, 60)
    assert np.array_equal(view.nodes[0].facts.inputs[1].constant, [2, -1])  # type: ignore[union-attr, arg-type]
    assert_traceable(view)
    assert_same_numbers(view)


def test_an_upsampling_to_half_the_input_as_exporters_write_it() -> None:
    text = """g (float[1,2,h,w] x) => (float[1,2,a,b] y)
    { s = Shape(x)  hw = Slice(s, two, four)  c = Cast <to = 1> (hw)  d = Mul(c, half)  e = Cast <to = 7> (d)
      nc = Slice(s, zero, two)  sizes = Concat <axis = 0> (nc, e)  y = Resize <mode = "nearest"> (x, , , sizes) }"""
    view = view_of(
        parse(text, zero=np.array([0]), two=np.array([2]), four=np.array([4]), half=np.array(0.5, np.float32)),
        dimensions={"h": 8, "w": 6},
    )
    assert op_types(view) == ["Resize"] and view.nodes[0].facts.outputs[0].shape == (1, 2, 4, 3)
    assert_same_numbers(view)


def test_declared_shapes_that_are_stale_are_replaced() -> None:
    proto = parse("g (float[n,4] x) => (float[1,4] y) { a = Relu(x)  y = Neg(a) }")
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, ["n", 4]))
    view = view_of(proto, dimensions={"n": 3})
    assert [one.facts.outputs[0].shape for one in view.nodes] == [(3, 4), (3, 4)]


def test_a_fold_that_would_blow_the_model_up_is_not_made() -> None:
    text = "g (float[1,4096] x) => (float[4096,4096] y) { big = Expand(one, size)  y = Mul(x, big) }"
    proto = parse(text, one=np.ones((1, 1), np.float32), size=np.array([4096, 4096]))
    view = view_of(proto)
    assert op_types(view) == ["Expand", "Mul"] and view.folded == frozenset()
    assert_traceable(view)


def test_random_and_quantising_operators_are_not_folded() -> None:
    text = """g (float[2] x) => (float[2] y, float[2] z)
    { r = RandomNormal <shape = [2]> ()  y = Add(x, r)  d = DequantizeLinear(w, s)  z = Mul(x, d) }"""
    view = view_of(parse(text, w=np.array([1, 2], np.int8), s=np.array(0.5, np.float32)))
    assert op_types(view) == ["RandomNormal", "Add", "DequantizeLinear", "Mul"]


def test_an_initializer_that_is_an_input_can_be_overridden_and_is_no_constant() -> None:
    proto = parse("g (float[2] x) => (float[2] y) { n = Neg(w)  y = Add(x, n) }", w=np.ones(2, np.float32))
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [2]))
    view = view_of(proto)
    assert op_types(view) == ["Neg", "Add"]
    assert view.nodes[0].facts.inputs[0].constant is None  # type: ignore[union-attr]
    assert_same_numbers(view, {"x": np.ones(2, np.float32), "w": np.full(2, 5, np.float32)})


def test_before_ir_4_initializers_had_to_be_inputs_and_are_constants() -> None:
    proto = parse("g (float[2] x) => (float[2] y) { n = Neg(w)  y = Add(x, n) }", opset=8, w=np.ones(2, np.float32))
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [2]))
    proto.ir_version = 3
    view = view_of(proto)
    assert op_types(view) == ["Add"] and [value.name for value in view.model.graph.inputs] == ["x"]
    assert_traceable(view)
    assert_same_numbers(view)


def test_an_operator_of_another_domain_keeps_the_shape_it_declares() -> None:
    proto = parse("g (float[2,4] x) => (float[2,4] y) { a = own.Thing(x)  y = Relu(a) }", domain="own")
    proto.graph.value_info.append(onnx.helper.make_tensor_value_info("a", onnx.TensorProto.FLOAT, [2, 4]))
    view = view_of(proto)
    assert [one.facts.outputs[0].shape for one in view.nodes] == [(2, 4), (2, 4)]


def test_the_outputs_of_an_if_are_what_both_branches_agree_on() -> None:
    text = """g (float[n,4] x, bool p) => (float[a,b] y)
    { i = If (p) <then_branch = t () => (float[a,b] u) { s = Constant <value_ints = [-1, 2]> ()  u = Reshape(x, s) },
                  else_branch = e () => (float[a,b] v) { r = Constant <value_ints = [4, 2]> ()  v = Reshape(x, r) }>
      y = Relu(i) }"""
    view = view_of(parse(text), dimensions={"n": 2})
    assert view.nodes[-1].facts.outputs[0].shape == (4, 2)
    assert_same_numbers(view)
