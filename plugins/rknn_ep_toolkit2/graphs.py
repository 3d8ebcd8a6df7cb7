"""Small questions about QDQ graphs, and small edits, that the steps of the vendor's copy share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

Array = np.ndarray[Any, Any]

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def constant(value: ir.Value | None) -> Array | None:
    """The value of an initializer, else None."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return np.asarray(value.const_value.numpy())


def dequantize_of(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that makes `value`."""
    producer = value.producer() if value is not None else None
    return producer if producer is not None and producer.op_type == DEQUANTIZE else None


def dequantized_constant(value: ir.Value | None) -> Array | None:
    """The float32 values of a constant behind a DequantizeLinear, else None."""
    node = dequantize_of(value)
    codes = constant(node.inputs[0]) if node is not None else None
    scale = constant(node.inputs[1]) if node is not None else None
    if node is None or codes is None or scale is None:
        return None
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    shape = [1] * codes.ndim
    if scale.size > 1:
        shape[axis_of(node) % codes.ndim] = scale.size
    centred = codes.astype(np.int64) - (0 if zero is None else zero.astype(np.int64).reshape(shape if zero.size > 1 else ()))
    return np.asarray(centred.astype(np.float32) * scale.astype(np.float32).reshape(shape if scale.size > 1 else ()))


def axis_of(node: ir.Node) -> int:
    """The axis along which a DequantizeLinear has its scales."""
    return node.attributes["axis"].as_int() if "axis" in node.attributes else 1


def readers(value: ir.Value) -> list[ir.Node]:
    """Nodes that read `value`."""
    return [node for node, _ in value.uses()]


def new_constant(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """Add an initializer under a name that is free."""
    value = ir.val(free_name(graph, name), const_value=None)
    value.const_value = ir.tensor(array, name=value.name)
    value.shape, value.dtype = ir.Shape(array.shape), value.const_value.dtype
    graph.initializers[value.name or ""] = value
    return value


def free_name(graph: ir.Graph, name: str) -> str:
    """`name`, or `name_2` and so on where an initializer has it."""
    unique, number = name, 1
    while unique in graph.initializers:
        number += 1
        unique = f"{name}_{number}"
    return unique


def insert_before(
    node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], name: str, attributes: Sequence[ir.Attr] = ()
) -> ir.Value:
    """Insert a node with one float output, named `name`, ahead of `node`, and give the output."""
    made = ir.Node("", op_type, list(inputs), list(attributes), name=name)
    assert node.graph is not None
    node.graph.insert_before(node, made)
    output = made.outputs[0]
    output.name, output.dtype = name, ir.DataType.FLOAT
    return output


def replace(node: ir.Node, result: ir.Value) -> None:
    """Let `result` stand for the node's only output, under its name, and remove the node."""
    old = node.outputs[0]
    name = old.name
    result.dtype, result.shape = old.dtype, old.shape
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    assert node.graph is not None
    node.graph.remove(node, safe=True)
    old.name, result.name = None, name
