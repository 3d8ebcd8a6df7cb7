"""Operators of the remainder against ONNX Runtime: our own converters, and the stock ones that we rely on."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.tvm.harness import compiled, imported, random, run

INFINITY, NAN = float("inf"), float("nan")
EVERYTHING = {"exclude_ops": "Clip,HardSigmoid,HardSwish,Gemm,GlobalAveragePool,BatchNormalization,Mul,Add,Conv,Relu"}


def model_of(
    node: onnx.NodeProto, shape: tuple[int, ...], constants: dict[str, np.ndarray[Any, Any]], dtype: int = TensorProto.FLOAT,
    opset: int = 17, extra: tuple[str, ...] = (),
) -> onnx.ModelProto:  # fmt: skip
    """One operator on `x`; scalars named in `extra` are inputs too."""
    graph = helper.make_graph(
        [node],
        "one",
        [helper.make_tensor_value_info("x", dtype, shape), *(helper.make_tensor_value_info(name, dtype, ()) for name in extra)],
        [helper.make_tensor_value_info("y", dtype, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    return onnx.shape_inference.infer_shapes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    )


def check(model: onnx.ModelProto, *inputs: np.ndarray[Any, Any], ulps: int = 0) -> Any:
    """Compare with ONNX Runtime, and return the module."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    (expected,) = session.run(None, dict(zip(names, inputs, strict=True)))
    mod = imported(model, **EVERYTHING).mod
    (found,) = run(compiled(mod), *inputs)
    if ulps:
        np.testing.assert_allclose(found, expected, rtol=ulps * 2.0**-23, atol=ulps * 2.0**-23)
    else:
        np.testing.assert_array_equal(found, expected)
    return mod


def calls(mod: Any) -> list[str]:
    """Operators of `main`."""
    from tvm import relax

    found: list[str] = []

    def look(expression: Any) -> None:
        if isinstance(expression, relax.Call):
            found.append(str(getattr(expression.op, "name", expression.op)))

    relax.analysis.post_order_visit(mod["main"], look)
    return found


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 6.0), (-1.0, 1.0), (None, 0.5), (0.25, None), (None, None), (NAN, 0.5), (1.0, -1.0), (0.0, INFINITY)],
)
def test_clip_with_constant_bounds(low: float | None, high: float | None) -> None:
    constants = {name: np.float32(value) for name, value in (("low", low), ("high", high)) if value is not None}
    inputs = ["x", "low" if low is not None else "", "high" if high is not None else ""]
    while not inputs[-1]:
        inputs.pop()
    mod = check(model_of(helper.make_node("Clip", inputs, ["y"], name="clip"), (2, 3, 5), constants), 2 * random((2, 3, 5)))
    assert set(calls(mod)) <= {"relax.clip", "relax.minimum", "relax.maximum"}  # nothing that hides from patterns


@settings(max_examples=4, deadline=None)
@given(st.floats(-4, 4, width=32), st.floats(-4, 4, width=32))
def test_clip_with_any_bounds(low: float, high: float) -> None:
    constants = {"low": np.float32(low), "high": np.float32(high)}
    check(model_of(helper.make_node("Clip", ["x", "low", "high"], ["y"]), (4, 5), constants), 3 * random((4, 5)))


def test_clip_with_computed_bounds() -> None:
    model = model_of(helper.make_node("Clip", ["x", "low", "high"], ["y"]), (4, 5), {}, extra=("low", "high"))
    check(model, random((4, 5)), np.array(-0.5, np.float32), np.array(0.25, np.float32))


def test_clip_of_integers() -> None:
    model = model_of(
        helper.make_node("Clip", ["x", "low", "high"], ["y"]),
        (64,),
        {"low": np.int64(-3), "high": np.int64(5)},
        TensorProto.INT64,
    )
    check(model, np.arange(-32, 32, dtype=np.int64))


def test_clip_with_attributes_of_opset_6() -> None:
    check(model_of(helper.make_node("Clip", ["x"], ["y"], min=-0.5, max=0.5), (4, 5), {}, opset=6), random((4, 5)))


@pytest.mark.parametrize(
    ("operator", "attributes", "shape"),
    [
        ("HardSigmoid", {"alpha": 0.1666667, "beta": 0.5}, (1, 3, 8, 8)),
        ("HardSigmoid", {}, (4, 7)),
        ("HardSwish", {}, (1, 3, 8, 8)),
        ("GlobalAveragePool", {}, (1, 3, 9, 7)),
    ],
)
def test_stock_converters_of_one_input(operator: str, attributes: dict[str, float], shape: tuple[int, ...]) -> None:
    # One or two roundings more than ONNX Runtime's fused kernel, and another order of summation.
    check(model_of(helper.make_node(operator, ["x"], ["y"], **attributes), shape, {}), 4 * random(shape), ulps=8)


@pytest.mark.parametrize("attributes", [{}, {"transB": 1, "alpha": 0.5, "beta": 2.0}])
def test_stock_gemm(attributes: dict[str, Any]) -> None:
    weights = random((5, 7) if attributes else (7, 5), seed=2)
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], **attributes)
    check(model_of(node, (3, 7), {"w": weights, "b": random((5,), seed=3)}), random((3, 7)), ulps=64)  # sums of 7 products


def test_stock_batch_normalization() -> None:
    constants = {name: np.abs(random((3,), seed=seed)) + 0.5 for seed, name in enumerate(("scale", "bias", "mean", "var"))}
    node = helper.make_node("BatchNormalization", ["x", *constants], ["y"])
    check(model_of(node, (1, 3, 6, 6), constants), random((1, 3, 6, 6)), ulps=16)
