"""Models that arrive quantised, seen as what they compute: operators on codes as the float operators they stand for.

Covers the QOperator form (QLinearConv and its kin, some of them of ONNX Runtime's own domain) and operators that move
codes without computing. The rules then judge the float form, in a quantised precision.
"""

from __future__ import annotations

from dataclasses import replace

from rknn_ep.records import NodeFacts, TensorFacts

CODES = frozenset({"INT8", "UINT8", "INT16", "UINT16"})

OPERANDS: dict[str, tuple[str, tuple[int, ...]]] = {
    "QLinearConv": ("Conv", (0, 3, 8)),
    "QLinearMatMul": ("MatMul", (0, 3)),
    "QGemm": ("Gemm", (0, 3, 6)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearSigmoid": ("Sigmoid", (0,)),
    "QLinearLeakyRelu": ("LeakyRelu", (0,)),
    "QLinearSoftmax": ("Softmax", (0,)),
    "QLinearWhere": ("Where", (0, 1, 4)),
}
"""Operator -> (its float operator, where that one's inputs stand). The others are scales and zero points."""

MOVES = frozenset(
    {
        "Concat",
        "DepthToSpace",
        "Expand",
        "Flatten",
        "Gather",
        "MaxPool",
        "Reshape",
        "Resize",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that take codes as they are."""


def is_quantized_operator(node: NodeFacts) -> bool:
    """Whether the node computes on codes."""
    return node.op_type in OPERANDS or node.op_type == "QLinearConcat"


def float_form(node: NodeFacts) -> NodeFacts:
    """The float node that a node on codes stands for; other nodes as they are."""
    if node.op_type == "QLinearConcat":
        return _floated(node, "Concat", node.inputs[2::3])
    if node.op_type in OPERANDS:
        op_type, places = OPERANDS[node.op_type]
        return _floated(node, op_type, tuple(node.inputs[place] for place in places if place < len(node.inputs)))
    if node.op_type in MOVES and any(tensor is not None and tensor.dtype in CODES for tensor in node.inputs[:1]):
        return _floated(node, node.op_type, node.inputs)
    return node


def _floated(node: NodeFacts, op_type: str, inputs: tuple[TensorFacts | None, ...]) -> NodeFacts:
    return replace(
        node,
        op_type=op_type,
        domain="",
        inputs=tuple(None if tensor is None else _as_float(tensor) for tensor in inputs),
        outputs=tuple(_as_float(tensor) for tensor in node.outputs),
    )


def _as_float(tensor: TensorFacts) -> TensorFacts:
    return replace(tensor, dtype="FLOAT") if tensor.dtype in (*CODES, "INT32") else tensor
