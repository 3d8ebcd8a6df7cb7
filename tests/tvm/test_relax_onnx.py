"""Every Relax-to-ONNX converter against what TVM itself computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from rknn_ep.errors import ShapeError
from rknn_ep_tvm.version import unavailable
from tests.required import missing
from tests.tvm import harness

if why := unavailable():
    missing("tvm", why)

import tvm
from tvm import relax
from tvm.relax import op

from rknn_ep_tvm.relax_onnx import CONVERTERS, DOMAIN, to_onnx

Build = Callable[..., Any]
FLOAT32_SUMS = 2e-5
"""Relative to the largest value: float32 sums of at most some hundred products in another order, and libm against libm."""


def const(*shape: int, low: float = -1, high: float = 1, seed: int = 3) -> Any:
    return relax.const(np.random.default_rng(seed).uniform(low, high, shape).astype(np.float32))


PICTURE = (1, 8, 12, 12)
UNARY = [
    "abs",
    "ceil",
    "cos",
    "erf",
    "exp",
    "floor",
    "sign",
    "sin",
    "tan",
    "tanh",
    "sigmoid",
    "negative",
    "square",
    "cosh",
    "sinh",
]
POSITIVE = ["log", "sqrt", "rsqrt"]
UNIT = ["acos", "asin", "atan"]
BINARY = ["add", "subtract", "multiply", "divide", "maximum", "minimum"]
COMPARISONS = ["equal", "not_equal", "greater", "greater_equal", "less", "less_equal"]

CASES: dict[str, tuple[str, Build]] = {}
"""Name -> (operator, what makes the call from a float32 picture)."""


def case(operator: str, build: Build, name: str = "") -> None:
    CASES[name or operator] = (f"relax.{operator}", build)


for name in UNARY:
    case(name, getattr(op, name))
for name in POSITIVE:
    case(name, lambda x, name=name: getattr(op, name)(op.add(op.abs(x), relax.const(0.1))))
for name in UNIT:
    case(name, lambda x, name=name: getattr(op, name)(op.tanh(x)))
for name in BINARY:
    case(name, lambda x, name=name: getattr(op, name)(x, const(8, 1, 1, low=0.5, high=2)))
for name in COMPARISONS:
    case(name, lambda x, name=name: op.astype(getattr(op, name)(op.round(x), relax.const(0.0)), "float32"))
for name in ["mean", "sum", "max", "min", "prod"]:
    case(name, lambda x, name=name: getattr(op, name)(x, axis=[2, 3], keepdims=True))
    case(name, lambda x, name=name: getattr(op, name)(x, axis=[1]), f"{name} without its axis")
case("round", lambda x: op.round(op.multiply(x, relax.const(3.3))))
case("power", lambda x: op.power(op.add(op.abs(x), relax.const(0.1)), relax.const(1.7)))
case("where", lambda x: op.where(op.greater(x, relax.const(0.0)), x, op.negative(x)))
case("logical_not", lambda x: op.astype(op.logical_not(op.greater(x, relax.const(0.0))), "float32"))
for name in ["logical_and", "logical_or", "logical_xor"]:
    case(
        name,
        lambda x, name=name: op.astype(
            getattr(op, name)(op.greater(x, relax.const(0.0)), op.less(x, relax.const(0.5))), "float32"
        ),
    )
case("isnan", lambda x: op.astype(op.isnan(x), "float32"))
case("isinf", lambda x: op.astype(op.isinf(x), "float32"))
case("astype", lambda x: op.astype(op.astype(x, "int32"), "float32"))
case("clip", lambda x: op.clip(x, 0, 0.5))
case("clip", lambda x: op.clip(x, 0, float("inf")), "clip below")
for name in ["relu", "silu", "gelu", "gelu_tanh", "softplus", "selu"]:
    if hasattr(op.nn, name):
        case(f"nn.{name}", getattr(op.nn, name))
case("nn.leakyrelu", lambda x: op.nn.leakyrelu(x, 0.1))
case("nn.prelu", lambda x: op.nn.prelu(x, const(8), axis=1))
case("nn.softmax", lambda x: op.nn.softmax(x, axis=1))
case("nn.log_softmax", lambda x: op.nn.log_softmax(x, axis=-1))
case("nn.dropout", lambda x: op.nn.dropout(x, 0.5)[0])
case("nn.conv2d", lambda x: op.nn.conv2d(x, const(16, 8, 3, 3), strides=[2, 1], padding=[1, 0, 1, 2], dilation=[1, 2]))
case("nn.conv2d", lambda x: op.nn.conv2d(x, const(8, 1, 3, 3), padding=[1, 1], groups=8), "nn.conv2d depthwise")
case("nn.conv1d", lambda x: op.nn.conv1d(op.reshape(x, (1, 8, 144)), const(4, 8, 5), strides=[2], padding=[2, 2]))
case("nn.conv3d", lambda x: op.nn.conv3d(op.reshape(x, (1, 2, 4, 12, 12)), const(3, 2, 3, 3, 3), padding=[1, 1, 1, 1, 1, 1]))
case("nn.conv2d_transpose", lambda x: op.nn.conv2d_transpose(x, const(8, 4, 4, 4), strides=[2, 2], padding=[1, 1, 1, 1]))
case(
    "nn.conv1d_transpose",
    lambda x: op.nn.conv1d_transpose(op.reshape(x, (1, 8, 144)), const(8, 4, 4), strides=[2], padding=[1, 1]),
)
case(
    "nn.conv3d_transpose",
    lambda x: op.nn.conv3d_transpose(op.reshape(x, (1, 2, 4, 12, 12)), const(2, 3, 2, 2, 2), strides=[2, 2, 2]),
)
case("nn.adaptive_avg_pool3d", lambda x: op.nn.adaptive_avg_pool3d(op.reshape(x, (1, 2, 4, 12, 12)), [1, 1, 1]))
case("matmul", lambda x: op.matmul(op.reshape(x, (8, 12, 12)), const(12, 7)))
case("nn.max_pool2d", lambda x: op.nn.max_pool2d(x, [3, 3], [2, 2], [1, 1, 1, 1]))
case("nn.max_pool2d", lambda x: op.nn.max_pool2d(x, [3, 3], [2, 2], ceil_mode=True), "nn.max_pool2d upwards")
case("nn.avg_pool2d", lambda x: op.nn.avg_pool2d(x, [3, 3], [1, 1], [1, 1, 1, 1], count_include_pad=True))
case("nn.avg_pool2d", lambda x: op.nn.avg_pool2d(x, [2, 2], [2, 2], [1, 1, 1, 1]), "nn.avg_pool2d without its pads")
case("nn.max_pool1d", lambda x: op.nn.max_pool1d(op.reshape(x, (1, 8, 144)), [3], [2]))
case("nn.avg_pool1d", lambda x: op.nn.avg_pool1d(op.reshape(x, (1, 8, 144)), [2], [2]))
case("nn.max_pool3d", lambda x: op.nn.max_pool3d(op.reshape(x, (1, 2, 4, 12, 12)), [2, 2, 2], [2, 2, 2]))
case("nn.avg_pool3d", lambda x: op.nn.avg_pool3d(op.reshape(x, (1, 2, 4, 12, 12)), [2, 2, 2], [2, 2, 2]))
case("nn.adaptive_avg_pool2d", lambda x: op.nn.adaptive_avg_pool2d(x, [1, 1]))
case("nn.adaptive_avg_pool2d", lambda x: op.nn.adaptive_avg_pool2d(x, [3, 4]), "nn.adaptive_avg_pool2d in parts")
case("nn.adaptive_avg_pool1d", lambda x: op.nn.adaptive_avg_pool1d(op.reshape(x, (1, 8, 144)), [12]))
case(
    "nn.batch_norm",
    lambda x: op.nn.batch_norm(x, const(8), const(8), const(8), const(8, low=0.5, high=2), axis=1, training=False)[0],
)
case("nn.layer_norm", lambda x: op.nn.layer_norm(x, const(12), const(12), axes=[-1]))
case("nn.group_norm", lambda x: op.nn.group_norm(x, const(8), const(8), num_groups=4, channel_axis=1, axes=[2, 3]))
case("nn.instance_norm", lambda x: op.nn.instance_norm(x, const(8), const(8), channel_axis=1, axes=[2, 3]))
case("nn.rms_norm", lambda x: op.nn.rms_norm(x, const(12), axes=[-1], epsilon=1e-5))
case("nn.pad", lambda x: op.nn.pad(x, [0, 0, 0, 0, 1, 2, 3, 0], pad_value=0.5))
case("nn.pad", lambda x: op.nn.pad(x, [0, 0, 0, 0, 1, 2, 3, 0], pad_mode="reflect"), "nn.pad by reflection")
for name, attributes in {
    "": {},
    " of its scale": {"scale": tvm.tirx.FloatImm("float32", 0.7)},
    " causal": {"causal_mask": "TopLeft"},
    " causal from the end": {"causal_mask": "BottomRight"},
}.items():
    case(
        "nn.attention",
        lambda x, attributes=attributes: op.nn.attention(
            x, op.strided_slice(x, [1], [0], [6]), op.strided_slice(x, [1, 3], [2, 0], [8, 5]), **attributes
        ),
        f"nn.attention{name}",
    )
case("nn.attention_bias", lambda x: op.nn.attention(x, x, x, const(1, 12, 8, 8)))
case("nn.pixel_shuffle", lambda x: op.nn.pixel_shuffle(x, 2))
case("reshape", lambda x: op.reshape(x, (4, -1)))
case("flatten", op.flatten)
case("nn.batch_flatten", op.nn.batch_flatten if hasattr(op.nn, "batch_flatten") else op.flatten)
case("expand_dims", lambda x: op.expand_dims(x, [0, -1]))
case("squeeze", lambda x: op.squeeze(x, [0]))
case("squeeze", op.squeeze, "squeeze all")
case("permute_dims", lambda x: op.permute_dims(x, [0, 2, 3, 1]))
case("permute_dims", op.permute_dims, "permute_dims reversed")
case("concat", lambda x: op.concat([x, op.negative(x), const(1, 2, 12, 12)], axis=1))
case("stack", lambda x: op.stack([x, op.negative(x)], axis=2))
case("split", lambda x: op.add(op.split(x, 2, axis=1)[0], op.split(x, 2, axis=1)[1]))
case("split", lambda x: op.split(x, [2, 5], axis=1)[1], "split at indices")
case("strided_slice", lambda x: op.strided_slice(x, [1, 3], [1, 0], [7, 12], [2, 3]))
case("strided_slice", lambda x: op.strided_slice(x, [2], [-5], [2**62]), "strided_slice to the end")
case("take", lambda x: op.take(x, relax.const(np.array([3, 0, 5])), axis=1))
case("broadcast_to", lambda x: op.broadcast_to(x, (4, 8, 12, 12)))
case("tile", lambda x: op.tile(x, [2, 1, 1, 1, 3]))
case("argmax", lambda x: op.astype(op.argmax(x, axis=1, keepdims=True), "float32"))
case("argmin", lambda x: op.astype(op.argmin(x, axis=2), "float32"))
for method, mode in [
    ("nearest_neighbor", "asymmetric"),
    ("linear", "half_pixel"),
    ("linear", "align_corners"),
    ("cubic", "half_pixel"),
]:
    case(
        "image.resize2d",
        lambda x, method=method, mode=mode: op.image.resize2d(
            x, (24, 18), method=method, coordinate_transformation_mode=mode, rounding_method="floor" if "near" in method else ""
        ),
        f"image.resize2d {method} {mode}",
    )
case("zeros_like", lambda x: op.add(op.zeros_like(x), x))
case("ones_like", lambda x: op.add(op.ones_like(x), x))
case("zeros", lambda x: op.add(op.zeros(PICTURE, "float32"), x))
case("ones", lambda x: op.add(op.ones(PICTURE, "float32"), x))
case("arange", lambda x: op.add(x, op.astype(op.arange(3, 27, 2), "float32")))
case("arange", lambda x: op.add(x, op.arange(1.5, -1.5, -0.25, "float32")), "arange downwards")
case("full", lambda x: op.add(op.full(PICTURE, relax.const(0.25), "float32"), x))
case("full_like", lambda x: op.add(op.full_like(x, relax.const(0.25)), x))
case(
    "quantize",
    lambda x: op.astype(op.quantize(x, relax.const(0.02), relax.const(5, "int8"), axis=1, out_dtype="int8"), "float32"),
)
case(
    "dequantize",
    lambda x: op.dequantize(
        op.quantize(x, relax.const(0.02), relax.const(5, "int8"), axis=1, out_dtype="int8"),
        relax.const(0.02),
        relax.const(5, "int8"),
        axis=1,
        out_dtype="float32",
    ),
)

REFERENCES: dict[str, Build] = {
    "nn.pixel_shuffle": lambda x: op.reshape(
        op.permute_dims(op.reshape(x, (1, 2, 2, 2, 12, 12)), [0, 1, 4, 2, 5, 3]), (1, 2, 24, 24)
    ),
}
"""What TVM 0.27 cannot lower, by operators that it can."""


def module(build: Build, shape: tuple[Any, ...] = PICTURE) -> Any:
    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(shape, "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            result = builder.emit_output(builder.normalize(build(x)))
        builder.emit_func_output(result)
    return builder.get()


@pytest.mark.parametrize("name", CASES)
def test_the_onnx_of_an_operator_computes_what_tvm_computes(name: str) -> None:
    operator, build = CASES[name]
    mod = module(build)
    converted = to_onnx(mod["main"])
    assert not converted.reasons
    assert all(node.domain != DOMAIN for node in converted.model.graph.node)
    onnx.checker.check_model(converted.model, full_check=True)
    values = np.random.default_rng(1).normal(0, 1, PICTURE).astype(np.float32)
    (expected,) = harness.run(tvm.compile(module(REFERENCES.get(name, build)), target="llvm"), values)
    session = onnxruntime.InferenceSession(converted.model.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": values})
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    steps = 1.001 if operator == "relax.quantize" else 0  # a code: the two divide by a scale differently where a half decides
    np.testing.assert_allclose(found, expected, atol=FLOAT32_SUMS * max(1.0, np.abs(expected).max()) + steps)


def test_every_converter_is_compared() -> None:
    assert {operator for operator, _ in CASES.values()} == set(CONVERTERS)
    assert len(CONVERTERS) >= 40


def test_what_has_no_converter_says_so() -> None:
    converted = to_onnx(module(lambda x: op.cumsum(op.nn.relu(x), axis=1))["main"])
    assert [node.domain for node in converted.model.graph.node] == ["", DOMAIN]
    (reason,) = converted.reasons.values()
    assert reason == "relax.cumsum: there is no converter for this operator"


def test_a_form_that_onnx_lacks_says_so() -> None:
    weights = const(3, 3, 8, 16)
    converted = to_onnx(
        module(lambda x: op.nn.conv2d(op.permute_dims(x, [0, 2, 3, 1]), weights, data_layout="NHWC", kernel_layout="HWIO"))[
            "main"
        ]
    )
    (reason,) = converted.reasons.values()
    assert reason == "relax.nn.conv2d: data_layout NHWC; ONNX has NCHW"


def test_a_symbolic_dimension_is_named_with_the_way_to_bind_it() -> None:
    batch = tvm.tirx.Var("batch", "int64")
    with pytest.raises(ShapeError, match=r"dimension 0 \('batch'\) of 'x' is symbolic(?s:.)*BindSymbolicVars\(\{'batch': 1\}\)"):
        to_onnx(module(op.nn.relu, (batch, 8, 12, 12))["main"])
