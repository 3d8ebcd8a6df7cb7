"""How much work a node is, and how many bytes its constants take.

Multiply-accumulates are counted where the NPU's multiplier array works: convolutions, matrix products, recurrent cells.
Everything else (pooling, activations, element-wise arithmetic, data movement) counts 0: it is bound by memory, not by
arithmetic, on either side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod

from rknn_ep.partitioning.rules.codes import CODES, float_form
from rknn_ep.records import NodeFacts, TensorFacts

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CODE_BYTES = {"int8": 1, "int16": 2, "fp16": 2}


def macs(node: NodeFacts) -> int:
    """Multiply-accumulates of one inference; 0 for other operators and where a shape is not known."""
    node = float_form(node)
    count = _COUNTS.get(node.op_type)
    if count is None:
        return 0
    tensors = (*node.inputs, *node.outputs)
    if any(tensor is not None and tensor.name and tensor.shape is None for tensor in tensors):
        return 0
    return count(node)


def weight_bytes(nodes: Iterable[NodeFacts], precision: str) -> int:
    """Bytes of the constants of `nodes` once compiled: weights in the precision's codes, an int8 bias as int32, the
    integers that describe shapes not at all. A constant that several nodes share counts once.
    """
    seen: dict[str, int] = {}
    for node in nodes:
        for position, tensor in enumerate(node.inputs):
            if tensor is not None and tensor.constant is not None:
                seen.setdefault(tensor.name, _constant_bytes(node, position, tensor, precision))
    return sum(seen.values())


def _constant_bytes(node: NodeFacts, position: int, tensor: TensorFacts, precision: str) -> int:
    size = prod(tensor.shape or ())
    if tensor.constant is not None and size > 1 and (node.op_type == "DequantizeLinear" or tensor.dtype in CODES):
        return int(tensor.constant.nbytes) if position != 1 or tensor.dtype in CODES else 0
    if tensor.dtype not in ("FLOAT", "FLOAT16") or node.op_type in ("QuantizeLinear", "DequantizeLinear", "Resize"):
        return 0
    if precision == "int8" and position == 2 and node.op_type in ("Conv", "ConvTranspose", "Gemm"):
        return 4 * size
    return CODE_BYTES[precision] * size


def _dims(tensor: TensorFacts | None) -> tuple[int, ...]:
    return (tensor.shape or ()) if tensor is not None else ()


def _conv(node: NodeFacts) -> int:
    weight = _dims(node.inputs[1])
    return prod(_dims(node.outputs[0])) * prod(weight[1:])


def _conv_transpose(node: NodeFacts) -> int:
    weight = _dims(node.inputs[1])
    return prod(_dims(node.inputs[0])) * prod(weight[1:])


def _matmul(node: NodeFacts) -> int:
    return prod(_dims(node.outputs[0])) * _dims(node.inputs[0])[-1]


def _gemm(node: NodeFacts) -> int:
    return prod(_dims(node.outputs[0])) * _dims(node.inputs[0])[0 if node.attributes.get("transA", 0) else 1]


def _einsum(node: NodeFacts) -> int:
    terms = str(node.attributes.get("equation", "")).replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, tensor in zip(terms, node.inputs, strict=False):
        sizes |= dict(zip(term, _dims(tensor), strict=False))
    return prod(sizes.values()) if len(terms) > 1 else 0


def _recurrent(node: NodeFacts) -> int:
    sequence, batch, size = _dims(node.inputs[0])
    weight = _dims(node.inputs[1])
    hidden = weight[1] // GATES[node.op_type]
    return weight[0] * sequence * batch * weight[1] * (size + hidden)


_COUNTS: dict[str, Callable[[NodeFacts], int]] = {
    "Conv": _conv,
    "DeformConv": _conv,
    "ConvTranspose": _conv_transpose,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "RNN": _recurrent,
}
