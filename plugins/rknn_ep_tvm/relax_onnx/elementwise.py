"""Elementwise operators: one ONNX operator each, or the forms that the planner knows as one native operator."""

from __future__ import annotations

import math

import numpy as np

from rknn_ep_tvm.relax_onnx.writer import CallWriter, UnsupportedCallError, converter, plain

_SAME = {
    **{name: name.capitalize() for name in ("abs", "ceil", "cos", "erf", "exp", "floor", "log", "sign", "sin", "sqrt", "tan")},
    **{name: name.capitalize() for name in ("acos", "asin", "atan", "cosh", "sinh", "tanh", "sigmoid", "round")},
    "negative": "Neg",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "logical_not": "Not",
    "nn.relu": "Relu",
    "nn.selu": "Selu",
    "nn.softplus": "Softplus",
    "add": "Add",
    "subtract": "Sub",
    "multiply": "Mul",
    "divide": "Div",
    "power": "Pow",
    "maximum": "Max",
    "minimum": "Min",
    "equal": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "where": "Where",
}
"""Operators that are the same in both, broadcasting included."""


@converter(*(f"relax.{name}" for name in _SAME))
def same(call: CallWriter) -> str:
    """One to one."""
    return call.node(_SAME[call.call.op.name.removeprefix("relax.")], call.inputs)


@converter("relax.not_equal")
def not_equal(call: CallWriter) -> str:
    """ONNX has Equal alone."""
    return call.node("Not", [call.node("Equal", call.inputs)])


@converter("relax.rsqrt")
def rsqrt(call: CallWriter) -> str:
    """1 / sqrt(x)."""
    return call.node("Reciprocal", [call.node("Sqrt", call.inputs)])


@converter("relax.square")
def square(call: CallWriter) -> str:
    """Multiply x by itself."""
    return call.node("Mul", [call.inputs[0], call.inputs[0]])


@converter("relax.nn.silu")
def silu(call: CallWriter) -> str:
    """Multiply x by sigmoid(x), which stays one native operator."""
    (value,) = call.inputs
    return call.node("Mul", [value, call.node("Sigmoid", [value])])


@converter("relax.nn.gelu")
def gelu(call: CallWriter) -> str:
    """Write x * (1 + erf(x / sqrt 2)) / 2, which stays one native operator."""
    (value,) = call.inputs
    inner = call.node("Erf", [call.node("Div", [value, call.like(math.sqrt(2))])])
    return call.node("Mul", [call.node("Mul", [value, call.node("Add", [inner, call.like(1)])]), call.like(0.5)])


@converter("relax.nn.gelu_tanh")
def gelu_tanh(call: CallWriter) -> str:
    """Write x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2 (Hendrycks and Gimpel, 2016)."""
    (value,) = call.inputs
    cubic = call.node("Mul", [call.node("Mul", [value, call.node("Mul", [value, value])]), call.like(0.044715)])
    inner = call.node("Tanh", [call.node("Mul", [call.node("Add", [value, cubic]), call.like(math.sqrt(2 / math.pi))])])
    return call.node("Mul", [call.node("Mul", [value, call.node("Add", [inner, call.like(1)])]), call.like(0.5)])


@converter("relax.nn.leakyrelu")
def leaky_relu(call: CallWriter) -> str:
    """With its slope."""
    return call.node("LeakyRelu", call.inputs, alpha=float(call.attribute("alpha")))


@converter("relax.nn.prelu")
def prelu(call: CallWriter) -> str:
    """The slopes lie along an axis; ONNX broadcasts from the right."""
    rank, axis = len(call.shape()), call.attribute("axis") % len(call.shape())
    slopes = call.shape(1)
    shape = [slopes[0] if index == axis else 1 for index in range(rank)]
    return call.node("PRelu", [call.inputs[0], call.node("Reshape", [call.inputs[1], call.constant(shape[1:] or shape)])])


@converter("relax.clip")
def clip(call: CallWriter) -> str:
    """A bound that is infinite is left out."""
    low, high = (plain(bound) for bound in call.call.args[1:3])
    bounds = ["" if math.isinf(bound) else call.like(bound) for bound in (low, high)]
    return call.node("Clip", [call.inputs[0], *bounds])


@converter("relax.astype")
def astype(call: CallWriter) -> str:
    """To another element type."""
    from onnx import helper

    return call.node("Cast", call.inputs, to=helper.np_dtype_to_tensor_dtype(np.dtype(str(call.call.ty.dtype))))


@converter("relax.nn.dropout")
def dropout(call: CallWriter) -> list[str]:
    """At inference it does nothing; the mask that it also gives is all ones."""
    ones = np.ones([int(dim) for dim in call.call.ty.fields[1].shape], str(call.call.ty.fields[1].dtype))
    return [call.node("Identity", call.inputs), call.constant(ones, ones.dtype)]


@converter("relax.quantize", "relax.dequantize")
def quantized(call: CallWriter) -> str:
    """QDQ as ONNX has it; zero points of other types than the codes are constants that are cast."""
    quantizes = call.call.op.name == "relax.quantize"
    code = str(call.call.ty.dtype) if quantizes else str(call.call.args[0].ty.dtype)
    if code not in ("int8", "uint8", "int16", "uint16"):
        raise UnsupportedCallError(f"codes of type {code}")
    from onnx import helper

    zero = call.node("Cast", [call.inputs[2]], to=helper.np_dtype_to_tensor_dtype(np.dtype(code)))
    axis = call.attribute("axis") if call.shape(1) else None
    operator = "QuantizeLinear" if quantizes else "DequantizeLinear"
    return call.node(operator, [call.inputs[0], call.inputs[1], zero], axis=axis)
