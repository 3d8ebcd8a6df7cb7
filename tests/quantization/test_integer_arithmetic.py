"""Unoptimised ONNX Runtime on our QDQ gives what integer arithmetic gives: the formulas, done in numpy int64.

Products are summed exactly, the bias is added as int32, and one multiplication and one rounding make the output's code.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from rknn_ep.quantization.qdq import Scheme, scheme_for
from rknn_ep.records import QuantizationType
from tests.quantization.helpers import Array, model_of, pairs, quantized, session

RANDOM = np.random.default_rng(11)
SCHEMES = {
    "per channel": scheme_for("int8"),
    "per layer": scheme_for("int8", per_channel=False),
    "asymmetric weights per layer": Scheme(QuantizationType(8), QuantizationType(8), per_channel=False),
    "asymmetric weights per channel": Scheme(QuantizationType(8), QuantizationType(8)),
    "symmetric activations": Scheme(QuantizationType(8, symmetric=True), QuantizationType(8, symmetric=True)),
}


def codes_of(values: Array, scale: float, zero: int, relu: bool = False) -> Array:
    """uint8 codes of real values, one rounding, half to even; float32 division as ONNX defines it."""
    values = np.maximum(values, 0) if relu else values
    steps = np.rint(values.astype(np.float32) / np.float32(scale))
    return np.clip(steps + zero, 0, 255).astype(np.int64)


def constants(model: ir.Model, name: str) -> Array:
    return model.graph.initializers[name].const_value.numpy()


def agree(model: ir.Model, feeds: dict[str, Array], wanted: Array) -> None:
    """The output's codes are equal, save where float32 and float64 round a tie differently: 1 code in 2 per thousand."""
    (name,) = (value.name for value in model.graph.outputs)
    scale, zero = pairs(model)[f"{name}_unrounded"]
    got = np.rint(session(model, optimized=False).run(None, feeds)[0] / np.float32(scale)).astype(np.int64) + zero
    assert np.abs(got - wanted).max() <= 1
    assert np.mean(got != wanted) <= 2e-3


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("relu", [False, True], ids=["", "relu"])
@pytest.mark.parametrize("group", [1, 4], ids=["dense", "grouped"])
def test_conv(scheme: Scheme, relu: bool, group: int) -> None:
    weight = RANDOM.normal(0, [[[[0.2]]], [[[1]]]] * 4, (8, 8 // group, 3, 3)).astype(np.float32)
    bias = RANDOM.normal(0, 2, 8).astype(np.float32)
    conv = f"Conv<pads=[1,1,1,1], group={group}>(x, w, b)"
    last = f"c = {conv} y = Relu(c)" if relu else f"y = {conv}"
    model = model_of(f"g (float[1,8,12,12] x) => (float[1,8,12,12] y) {{ {last} }}", w=weight, b=bias)
    x = RANDOM.normal(0.5, 1, (1, 8, 12, 12)).astype(np.float32)
    made = quantized(model, [{"x": x}], scheme=scheme).model
    x_scale, x_zero = pairs(made)["x"]
    q = codes_of(x, x_scale, x_zero) - x_zero
    w = constants(made, "w_quantized").astype(np.int64)
    zeros = constants(made, "w_zero_point").astype(np.int64).reshape(-1, *[1] * 3)
    w = w - (zeros if zeros.size > 1 else zeros.reshape(()))
    padded = np.pad(q, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[0]  # c, h, w, 3, 3
    windows = windows.reshape(group, 8 // group, 12, 12, 3, 3)
    sums = np.einsum("gchwij,gmcij->gmhw", windows, w.reshape(group, 8 // group, 8 // group, 3, 3)).reshape(1, 8, 12, 12)
    sums = sums + constants(made, "b_quantized").astype(np.int64).reshape(1, -1, 1, 1)
    scale = np.float64(np.float32(x_scale)) * constants(made, "w_scale").astype(np.float64).reshape(1, -1, 1, 1)
    y_scale, y_zero = pairs(made)["y_unrounded"]
    agree(made, {"x": x}, codes_of(sums * scale, y_scale, y_zero, relu))


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_with_its_factors(scheme: Scheme, transposed: int) -> None:
    weight = RANDOM.normal(0, 1, (6, 20) if transposed else (20, 6)).astype(np.float32)
    bias = RANDOM.normal(0, 3, 6).astype(np.float32)
    text = f"g (float[5,20] x) => (float[5,6] y) {{ y = Gemm<transB={transposed}, alpha=0.5, beta=2.0>(x, w, b) }}"
    x = RANDOM.normal(0, 1, (5, 20)).astype(np.float32)
    made = quantized(model_of(text, w=weight, b=bias), [{"x": x}], scheme=scheme).model
    gemm = next(node for node in made.graph if node.op_type == "Gemm")
    assert "alpha" not in gemm.attributes and "beta" not in gemm.attributes
    (w_name,) = (name for name in made.graph.initializers if name.startswith("w_") and name.endswith("_quantized"))
    w = constants(made, w_name).astype(np.int64)
    zeros = constants(made, w_name.replace("_quantized", "_zero_point")).astype(np.int64)
    w_scale = constants(made, w_name.replace("_quantized", "_scale")).astype(np.float64)
    (b_name,) = (name for name in made.graph.initializers if name.startswith("b_") and name.endswith("_quantized"))
    w = (w - zeros.reshape(-1, 1)).T if transposed else w - zeros
    x_scale, x_zero = pairs(made)["x"]
    sums = (codes_of(x, x_scale, x_zero) - x_zero) @ w + constants(made, b_name).astype(np.int64)
    y_scale, y_zero = pairs(made)["y_unrounded"]
    agree(made, {"x": x}, codes_of(sums * (np.float64(np.float32(x_scale)) * w_scale), y_scale, y_zero))
    reference = session(model_of(text, w=weight, b=bias)).run(None, {"x": x})[0]
    got = session(made, optimized=False).run(None, {"x": x})[0]
    assert np.abs(got - reference).max() < 0.05 * np.abs(reference).max()


@pytest.mark.parametrize("operator", ["Add", "Mul", "Sub"])
def test_elementwise(operator: str) -> None:
    model = model_of(f"g (float[1,4,16,16] a, float[1,4,16,16] b) => (float[1,4,16,16] y) {{ y = {operator}(a, b) }}")
    feeds = {name: RANDOM.normal(0.3, size, (1, 4, 16, 16)).astype(np.float32) for name, size in (("a", 1), ("b", 3))}
    made = quantized(model, [feeds]).model
    real: dict[str, Any] = {}
    for name, values in feeds.items():
        scale, zero = pairs(made)[name]
        real[name] = (codes_of(values, scale, zero) - zero) * np.float64(np.float32(scale))
    result = {"Add": np.add, "Mul": np.multiply, "Sub": np.subtract}[operator](real["a"], real["b"])
    y_scale, y_zero = pairs(made)["y_unrounded"]
    agree(made, feeds, codes_of(result, y_scale, y_zero))
