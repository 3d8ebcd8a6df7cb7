"""Dynamic inputs: shapes by input name, dimensions by their own name, and errors that say which and how."""

from __future__ import annotations

import onnx
import pytest

from rknn_ep.errors import ShapeError
from rknn_ep.graph import View
from tests.graph.helpers import assert_same_numbers, parse, view_of

PAIR = "g (float[batch,3,h,?] x, float[batch,3,h,w] y) => (float[batch,3,h,w] z) { z = Add(x, y) }"


def shapes(view: View) -> dict[str, tuple[int, ...]]:
    return {str(value.name): value.shape.numpy() for value in view.model.graph.inputs if value.shape is not None}


def test_a_named_dimension_given_by_one_input_holds_for_all() -> None:
    view = view_of(parse(PAIR), input_shapes={"x": (2, 3, 4, 5)}, dimensions={"w": 5})
    assert shapes(view) == {"x": (2, 3, 4, 5), "y": (2, 3, 4, 5)}
    assert view.nodes[0].facts.outputs[0].shape == (2, 3, 4, 5)
    assert_same_numbers(view)


@pytest.mark.parametrize("batch", [1, 3])
def test_dimensions_by_name(batch: int) -> None:
    view = view_of(parse("g (float[n,c] x) => (float[n,c] y) { y = Relu(x) }"), dimensions={"n": batch, "c": 7})
    assert shapes(view) == {"x": (batch, 7)}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (
            {},
            r"dimension 0 \('batch'\) of input 'x' \(batch,3,h,\?\) is dynamic"
            r".*\n.*input_shapes='x:1,3,320,320' or input_shapes='batch=1'",
        ),
        (
            {"dimensions": {"batch": 1, "h": 8}},
            r"dimension 3 of input 'x' \(1,3,8,\?\) is dynamic.*\n.*input_shapes='x:1,3,8,320'\.$",
        ),
        ({"input_shapes": {"x": (1, 3, 8)}}, r"'x' has 4 dimensions \(batch,3,h,\?\), but 1,3,8 has 3"),
        ({"input_shapes": {"x": (1, 4, 8, 8)}}, r"dimension 1 of input 'x' is fixed at 3, not 4"),
        ({"input_shapes": {"xs": (1, 3, 8, 8)}}, r"no input 'xs': did you mean 'x'\?"),
        ({"dimensions": {"bacht": 1}}, r"no input of the model has a dimension named 'bacht': did you mean 'batch'\?"),
        ({"input_shapes": {"x": (1, 3, 8, 8), "y": (2, 3, 8, 8)}}, r"dimension 'batch' is 1 elsewhere, but input 'y' gives it 2"),
        (
            {"input_shapes": {"x": (1, 3, 8, 8)}, "dimensions": {"batch": 2}},
            r"dimension 'batch' is 2 elsewhere, but input 'x' gives it 1",
        ),
        (
            {"input_shapes": {"x": (1, 3, 8, 8)}, "dimensions": {"w": 7}},
            r"(?s)given input shapes do not fit Add 'z' with inputs x:\[1,3,8,8\], y:\[1,3,8,7\]",
        ),
    ],
    ids=["named", "unnamed", "rank", "fixed", "input-name", "dimension-name", "conflict", "conflict-name", "misfit"],
)
def test_what_is_missing_or_wrong_is_named_with_the_option_that_helps(given: dict[str, dict[str, object]], says: str) -> None:
    with pytest.raises(ShapeError, match=says):
        view_of(parse(PAIR), **given)


def test_a_question_mark_on_two_axes_does_not_make_them_equal() -> None:
    proto = parse("g (float[a,a] x) => (float[a,a] y) { y = Relu(x) }")
    for dim in proto.graph.input[0].type.tensor_type.shape.dim:
        dim.dim_param = "?"
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    assert shapes(view_of(proto, input_shapes={"x": (2, 3)})) == {"x": (2, 3)}
    with pytest.raises(ShapeError, match="no input of the model has a dimension named '\\?'"):
        view_of(proto, dimensions={"?": 2})


def test_minus_one_and_a_missing_value_are_dynamic_and_zero_is_a_size() -> None:
    proto = parse("g (float[1,2] x) => (float[1,2] y) { y = Relu(x) }")
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    dims = proto.graph.input[0].type.tensor_type.shape.dim
    for change in (lambda: setattr(dims[0], "dim_value", -1), dims[0].Clear):
        change()
        with pytest.raises(ShapeError, match="dimension 0 of input 'x'"):
            view_of(proto)
        assert shapes(view_of(proto, input_shapes={"x": (4, 2)})) == {"x": (4, 2)}
    dims[0].dim_value = 0
    assert shapes(view_of(proto)) == {"x": (0, 2)}


def test_an_input_without_a_shape_takes_one() -> None:
    proto = parse("g (float[1] x) => (float[1] y) { y = Relu(x) }")
    for value in (proto.graph.input[0], proto.graph.output[0]):
        value.type.CopyFrom(onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
    with pytest.raises(ShapeError, match="input 'x' has no shape at all"):
        view_of(proto)
    assert shapes(view_of(proto, input_shapes={"x": (2, 2)})) == {"x": (2, 2)}


def test_an_input_that_is_no_tensor_is_left_alone() -> None:
    proto = parse("g (seq(float[n]) x) => (int64 y) { y = SequenceLength(x) }")
    assert len(view_of(proto).nodes) == 1
    with pytest.raises(ShapeError, match="'x' is no tensor"):
        view_of(proto, input_shapes={"x": (1,)})
