"""Small questions about values that most passes ask."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import onnx_ir as ir


def is_constant(value: ir.Value | None) -> bool:
    """Whether the value cannot change at run time: an initializer that is no graph input (those can be overridden)."""
    return value is not None and value.const_value is not None and value.is_initializer() and not value.is_graph_input()


def constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """The constant's array, or None when the value is not constant."""
    if value is None or not is_constant(value) or value.const_value is None:
        return None
    array: np.ndarray[Any, Any] = value.const_value.numpy()
    return array


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of one element, else None."""
    if value is None or not is_constant(value) or value.const_value is None or value.const_value.size != 1:
        return None
    if value.const_value.dtype == ir.DataType.STRING:
        return None
    return float(value.const_value.numpy().reshape(()))


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Dimensions when every one is known, else None."""
    if value is None or value.shape is None:
        return None
    dims = value.shape.dims
    for dim in dims:
        if not isinstance(dim, int):
            return None
    return cast(tuple[int, ...], dims)


def is_onnx(node: ir.Node | None, *op_types: str) -> bool:
    """Whether a node is one of these operators of the ONNX domain."""
    return node is not None and node.op_type in op_types and node.domain == ""


def producer(value: ir.Value | None) -> ir.Node | None:
    """The node that makes the value, or None."""
    return None if value is None else value.producer()


def shared(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """The same data as a tensor that may have another name."""
    return ir.LazyTensor(lambda: tensor, dtype=tensor.dtype, shape=ir.Shape(tensor.shape))


def initializer(name: str, tensor: ir.TensorProtocol) -> ir.Value:
    """A constant value, not yet registered with a graph; the tensor takes its name."""
    tensor.name = name
    return ir.Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)


def add_constant(graph: ir.Graph, name: str, array: np.ndarray[Any, Any]) -> ir.Value:
    """A new initializer."""
    value = initializer(name, ir.Tensor(np.ascontiguousarray(array).reshape(array.shape)))
    graph.register_initializer(value)
    return value


def take_over(survivor: ir.Value, gone: ir.Value) -> None:
    """Let `survivor` stand wherever `gone` stood, under its name, and remove the node that made `gone`.

    What `survivor` was called before is lost: callers make sure that nobody needs that name.
    """
    node = gone.producer()
    assert node is not None and node.graph is not None
    gone.replace_all_uses_with(survivor, replace_graph_outputs=True)
    node.graph.remove(node, safe=True)
    survivor.name, gone.name = gone.name, None
    survivor.shape, survivor.type = gone.shape or survivor.shape, gone.type or survivor.type
