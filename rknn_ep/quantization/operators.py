"""What quantisation means for each operator: which inputs are data, and where the output's scale comes from."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.quantization.affine import Range


class Role(Enum):
    """Where the scale of a node's output comes from."""

    COMPUTE = "compute"
    """It is calibrated: the operator makes new values."""
    FOLLOW = "follow"
    """It is the input's: values are moved, picked or averaged (`GLOBAL_AVERAGES` on a scale of their own)."""
    JOIN = "join"
    """One scale for all inputs where they are of a kind: Concat."""
    FLOAT = "float"
    """The operator stays in floating point (fp16 on the NPU)."""


WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Multiply-accumulate with int32 sums: input 0 by input 1, bias in input 2."""

COMPUTING = WEIGHTED | {
    *("Add", "Sub", "Mul", "Min", "Max", "Sum", "Where"),
    *(
        "Relu",
        "Clip",
        "LeakyRelu",
        "PRelu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Tanh",
        "Elu",
        "Softplus",
        "Mish",
        "Abs",
        "Neg",
    ),
    *("ThresholdedRelu", "ReduceSum"),
}
FOLLOWING = frozenset(
    {
        *("MaxPool", "GlobalMaxPool", "AveragePool", "GlobalAveragePool", "ReduceMean", "ReduceMax", "ReduceMin"),
        *("Reshape", "Transpose", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Expand", "Tile"),
        *("Slice", "Split", "Gather", "DepthToSpace", "SpaceToDepth", "Resize", "Upsample", "Pad"),
    }
)
GLOBAL_AVERAGES = frozenset({"GlobalAveragePool", "ReduceMean"})
"""Means of so many values that they span a few steps of their input's grid only: they get a scale of their own."""
ALL_INPUTS_ARE_DATA = frozenset(
    {"Add", "Sub", "Mul", "Div", "Min", "Max", "Sum", "Concat", "Gemm", "MatMul", "Conv", "ConvTranspose"}
)

CLAMPS = frozenset({"Relu", "Clip"})
"""Activations that are nothing but the limits of the output's grid: fused with what comes before, without rounding."""


def role(node: ir.Node) -> Role:
    """The role of one node, by operator and by the attributes that change it."""
    if node.domain not in ("", "ai.onnx"):
        return Role.FLOAT
    if node.op_type == "Concat":
        return Role.JOIN
    if node.op_type in COMPUTING:
        return Role.COMPUTE
    if node.op_type not in FOLLOWING:
        return Role.FLOAT
    if node.op_type == "MaxPool" and len([value for value in node.outputs if value.uses() or value.is_graph_output()]) > 1:
        return Role.FLOAT  # the indices are part of the result: the vendor runs it on its CPU side
    if node.op_type in ("Resize", "Upsample") and text_attribute(node, "mode", "nearest") == "cubic":
        return Role.COMPUTE  # cubic overshoots the input's range
    if node.op_type == "Pad" and not pads_with_zero(node):
        return Role.COMPUTE
    return Role.FOLLOW


def data_inputs(node: ir.Node) -> list[int]:
    """Positions of the inputs that carry quantised values; for weighted operators without the bias."""
    if node.op_type in WEIGHTED:
        return [0, 1]
    if node.op_type == "Where":
        return [1, 2]
    if node.op_type in ALL_INPUTS_ARE_DATA:
        return list(range(len(node.inputs)))
    return [0]


def constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """The array of an initializer, else None."""
    if value is None or value.const_value is None or value.is_graph_input():  # an input's is a default, which may be overridden
        return None
    array: np.ndarray[Any, Any] = value.const_value.numpy()
    return array


def relevant_input(node: ir.Node) -> Range | None:
    """The part of its input's range that a saturating activation tells apart, or None where all of it matters.

    Outside the output moves by less than half a step of an 8-bit grid over the activation's own output range.
    """
    infinity = float("inf")
    if node.op_type == "Relu":
        return Range(0.0, infinity)
    if node.op_type == "HardSwish":
        return Range(-3.0, infinity)
    if node.op_type == "HardSigmoid":
        return hard_sigmoid_input(node)
    if node.op_type == "Sigmoid":
        return Range(-6.5, 6.5)  # sigmoid(-6.3) is half of 1/255
    if node.op_type == "Tanh":
        return Range(-3.2, 3.2)  # 1 - tanh(3.2) is below half of 2/255
    if node.op_type == "Clip":
        low, high = clip_limits(node)
        return Range(low, high).with_zero()
    return None


def hard_sigmoid_input(node: ir.Node) -> Range | None:
    """Where a HardSigmoid is not constant."""
    alpha, beta = float_attribute(node, "alpha", 0.2), float_attribute(node, "beta", 0.5)
    return Range(-beta / alpha, (1.0 - beta) / alpha).with_zero() if alpha > 0 else None


def clip_limits(node: ir.Node) -> tuple[float, float]:
    """Minimum and maximum of a Clip (opset 11 inputs or opset 6 attributes); infinite where it has none."""
    limits = [float_attribute(node, "min", -np.inf), float_attribute(node, "max", np.inf)]
    for position in (1, 2):
        value = constant(node.inputs[position]) if len(node.inputs) > position else None
        if value is not None:
            limits[position - 1] = float(value.reshape(-1)[0])
    return limits[0], limits[1]


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """A float attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.as_float())


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else int(attribute.as_int())


def text_attribute(node: ir.Node, name: str, default: str) -> str:
    """A string attribute, or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else str(attribute.as_string())


def pads_with_zero(node: ir.Node) -> bool:
    """Whether a Pad puts zeros, or values of the input itself, around it."""
    if text_attribute(node, "mode", "constant") != "constant":
        return True
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        value = constant(node.inputs[2])
        return value is not None and not value.any()
    return float_attribute(node, "value", 0.0) == 0.0
