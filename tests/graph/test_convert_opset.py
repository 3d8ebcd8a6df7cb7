"""Operators of every opset say the same in opset 17, or the model stays where it can be said."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.graph.helpers import assert_same_numbers, assert_traceable, op_types, parse, random_feed, view_of
from tests.required import missing

IMAGE = "float[1,4,6,8] x"


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


UP = {
    "softmax over the rest": (11, "y = Softmax <axis = 1> (x)", {}),
    "softmax by default": (9, "y = Softmax(x)", {}),
    "softmax over the last": (12, "y = Softmax <axis = 3> (x)", {}),
    "log softmax": (11, "y = LogSoftmax <axis = 2> (x)", {}),
    "clip": (10, "y = Clip <min = -0.5, max = 0.25> (x)", {}),
    "clip below": (7, "y = Clip <min = 0.0> (x)", {}),
    "pad": (10, 'y = Pad <pads = [0,0,1,2,0,0,3,4], mode = "constant", value = 1.5> (x)', {}),
    "slice": (9, "y = Slice <starts = [1, 0], ends = [3, 100], axes = [1, 3]> (x)", {}),
    "squeeze and unsqueeze": (11, "s = Squeeze <axes = [0]> (x)  y = Unsqueeze <axes = [0, 2]> (s)", {}),
    "reduce sum": (12, "y = ReduceSum <axes = [1, 3], keepdims = 0> (x)", {}),
    "reduce mean": (11, "y = ReduceMean <axes = [-1]> (x)", {}),
    "split": (11, "y, z = Split <axis = 1, split = [1, 3]> (x)", {}),
    "split evenly": (11, "y, z = Split <axis = 1> (x)", {}),
    "top k": (9, "y, i = TopK <k = 2, axis = 3> (x)", {}),
    "upsample": (7, 'y = Upsample <scales = [1.0, 1.0, 2.0, 3.0], mode = "nearest"> (x)', {}),
    "upsample by input": (9, 'y = Upsample <mode = "linear"> (x, s)', {"s": np.array([1, 1, 2, 2], np.float32)}),
    "resize up": (10, 'y = Resize <mode = "nearest"> (x, s)', {"s": np.array([1, 1, 1.5, 2], np.float32)}),
    "resize down": (10, 'y = Resize <mode = "nearest"> (x, s)', {"s": np.array([1, 1, 0.5, 0.6], np.float32)}),
    "resize linear": (10, 'y = Resize <mode = "linear"> (x, s)', {"s": np.array([1, 1, 0.5, 1.7], np.float32)}),
    "scatter": (
        10,
        "y = Scatter <axis = 3> (x, i, u)",
        {"i": np.zeros((1, 4, 6, 1), np.int64), "u": np.ones((1, 4, 6, 1), np.float32)},
    ),
    "roi align": (
        10,
        "y = RoiAlign <output_height = 2, output_width = 2> (x, r, b)",
        {"r": np.array([[0, 0, 4, 4]], np.float32), "b": ints(0)},
    ),
    "batch normalization": (8, "y = BatchNormalization(x, a, a, a, a)", {"a": np.full(4, 0.5, np.float32)}),
    "hard swish as it was": (14, "y = HardSwish(x)", {}),
}

DOWN = {
    "reduce mean": (18, "y = ReduceMean <keepdims = 0> (x, a)", {"a": ints(1, -1)}),
    "reduce over nothing": (20, "y = ReduceMean <noop_with_empty_axes = 1> (x, a)", {"a": ints()}),
    "reduce over all": (18, "y = ReduceMin(x)", {}),
    "split into": (18, "y, z, w = Split <axis = 3, num_outputs = 3> (x)", {}),
    "pad by axes": (18, "y = Pad(x, p, , a)", {"p": ints(1, 2, 3, 4), "a": ints(3, -2)}),
    "resize by axes": (18, 'y = Resize <axes = [2, 3], mode = "linear"> (x, , , s)', {"s": ints(12, 4)}),
    "resize by scale": (19, "y = Resize <axes = [3, 2]> (x, , s)", {"s": np.array([2, 0.5], np.float32)}),
    "average pool": (21, "y = AveragePool <kernel_shape = [2, 2], dilations = [1, 1]> (x)", {}),
    "cast": (22, "y = Cast <to = 10, saturate = 1> (x)", {}),
    "gelu": (20, "y = Gelu(x)", {}),
    "gelu by tanh": (21, 'y = Gelu <approximate = "tanh"> (x)', {}),
    "mish": (18, "y = Mish(x)", {}),
    "rms normalization": (23, "y = RMSNormalization <axis = -1> (x, s)", {"s": np.linspace(0.5, 2, 8, dtype=np.float32)}),
    "group normalization": (
        21,
        "y = GroupNormalization <num_groups = 2> (x, s, b)",
        {"s": np.array([1, 2, 3, 4], np.float32), "b": np.array([0, 1, 2, 3], np.float32)},
    ),
    "grid sample": (
        20,
        'y = GridSample <mode = "linear"> (x, g)',
        {"g": np.linspace(-1, 1, 12, dtype=np.float32).reshape(1, 2, 3, 2)},
    ),
    "convolution": (22, "y = Conv(x, w)", {"w": np.ones((2, 4, 3, 3), np.float32)}),
    "dequantised weights": (
        21,
        "d = DequantizeLinear(w, s)  y = MatMul(x, d)",
        {"w": np.ones((8, 2), np.int8), "s": np.array(0.5, np.float32)},
    ),
}


@pytest.mark.parametrize("case", UP)
def test_older_operators_become_opset_17(case: str) -> None:
    check(*UP[case])


@pytest.mark.parametrize("case", DOWN)
def test_newer_operators_become_opset_17(case: str) -> None:
    check(*DOWN[case])


def check(opset: int, body: str, initializers: dict[str, np.ndarray]) -> None:
    _need(opset)
    made = [
        name for name in ("y", "z", "w", "i") if any(f"{name}{end}" in body for end in (" =", ", ")) and name not in initializers
    ]
    view = view_of(untyped(f"g ({IMAGE}) => (float {', float '.join(made)}) {{ {body} }}", opset, initializers))
    assert view.opset == 17
    onnx.checker.check_model(onnx.ModelProto.FromString(serialized(view)), full_check=True)
    assert all(output.shape is not None for one in view.nodes for output in one.facts.outputs)
    assert_traceable(view)
    assert_same_numbers(view)


def _need(opset: int) -> None:
    if opset > onnx.defs.onnx_opset_version():
        missing("onnx", f"onnx {onnx.__version__} knows no opset {opset}")  # 1.17, the oldest we support, ends at 22


def untyped(text: str, opset: int, initializers: dict[str, np.ndarray]) -> onnx.ModelProto:
    proto = parse(text, opset=opset, **initializers)
    for output in proto.graph.output:
        output.ClearField("type")
    return proto


def serialized(view: object) -> bytes:
    from rknn_ep.graph import serialize

    return serialize(view.model)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("opset", "body", "expected"),
    [
        (19, "y = Relu(x)", 17),
        (18, "y = Relu(x)", 17),
        (28, "y = Relu(x)", 17),
        (19, "y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2]> (x)", 19),
        (21, "y = AveragePool <kernel_shape = [2, 2], dilations = [2, 2]> (x)", 19),
        (18, 'y = Resize <antialias = 1, mode = "linear"> (x, , s)', 18),
        (22, 'y = Resize <antialias = 1, mode = "linear"> (x, , s)', 19),
        (12, 'y = Resize <coordinate_transformation_mode = "tf_half_pixel_for_nn"> (x, r, s)', 12),
        (8, "y = BatchNormalization <spatial = 0> (x, s, s, s, s)", 8),
    ],
)
def test_which_opset_a_model_ends_in(opset: int, body: str, expected: int) -> None:
    _need(opset)
    numbers = {"s": np.array([1, 1, 2, 2], np.float32), "r": np.zeros(8, np.float32)}
    proto = parse(
        f"g ({IMAGE}) => (float[a,b,c,d] y) {{ {body} }}", opset=opset, **{n: v for n, v in numbers.items() if n in body}
    )
    view = view_of(proto)
    assert view.opset == expected and view.nodes[0].facts.opset == expected


def test_integers_that_opset_17_cannot_quantise_to_keep_the_model_where_it_is() -> None:
    body = "q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z)"
    numbers = {"s": np.array(0.5, np.float32), "z": np.array(0, np.int16)}
    view = view_of(parse(f"g ({IMAGE}) => (float[1,4,6,8] y) {{ {body} }}", opset=21, **numbers))
    assert view.opset == 21
    assert_same_numbers(view)


def test_float16_scales_need_opset_19() -> None:
    body = "q = QuantizeLinear(x, s, z)  y = DequantizeLinear(q, s, z)"
    numbers = {"s": np.array(0.5, np.float16), "z": np.array(0, np.int8)}
    assert view_of(parse(f"g (float16[2] x) => (float16[2] y) {{ {body} }}", opset=21, **numbers)).opset == 19


def test_a_branch_is_never_rewritten() -> None:
    text = """g (float[2,3] x, bool p) => (float[a,b] y)
    {{ y = If (p) <then_branch = t () => (float[a,b] u) {{ {body} }},
                   else_branch = e () => (float[c,d] v) {{ v = Relu(x) }}> }}"""
    same = view_of(parse(text.format(body="u = Neg(x)"), opset=11))
    assert same.opset == 17
    assert_same_numbers(same)
    differs = view_of(parse(text.format(body="u = Softmax <axis = 0> (x)"), opset=11))
    assert differs.opset == 11 and op_types(differs) == ["If"]
    assert_same_numbers(differs)


def test_layer_normalization_that_onnx_runtime_wrote_into_an_older_opset_is_taken_as_it_is() -> None:
    proto = parse(
        "g (float[2,8] x) => (float[2,8] y) { a = LayerNormalization <axis = -1> (x, s)  y = Clip <min = 0.0> (a) }", opset=10
    )
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(8, np.float32), "s"))
    view = view_of(proto)
    assert view.opset == 17 and op_types(view) == ["LayerNormalization", "Clip"]
    assert_same_numbers(view, random_feed(view))
