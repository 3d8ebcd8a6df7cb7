"""Small questions about QDQ graphs that the passes share."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

QUANTIZE = "QuantizeLinear"
DEQUANTIZE = "DequantizeLinear"
MULTIPLIERS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
"""Operators that multiply integers and accumulate where their operands are quantised."""


def constant(value: ir.Value | None) -> np.ndarray[Any, Any] | None:
    """The value of an initializer, else None."""
    if value is None or value.const_value is None or not value.is_initializer():
        return None
    return np.asarray(value.const_value.numpy())


def dequantize_of(value: ir.Value | None) -> ir.Node | None:
    """The DequantizeLinear that makes `value`."""
    producer = value.producer() if value is not None else None
    return producer if producer is not None and producer.op_type == DEQUANTIZE else None


def is_float(value: ir.Value | None) -> bool:
    """Whether the value is float32."""
    return value is not None and value.dtype == ir.DataType.FLOAT


def integer_attribute(node: ir.Node, name: str, default: int) -> int:
    """An integer attribute or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else int(attribute.as_int())


def float_attribute(node: ir.Node, name: str, default: float) -> float:
    """A float attribute or its default."""
    attribute = node.attributes.get(name)
    return default if attribute is None else float(attribute.as_float())


def new_initializer(graph: ir.Graph, name: str, array: np.ndarray[Any, Any]) -> ir.Value:
    """Add a constant under a name that is free."""
    unique, number = name, 1
    while unique in graph.initializers:
        number += 1
        unique = f"{name}_{number}"
    value = ir.val(unique, const_value=ir.tensor(array, name=unique))
    graph.initializers[unique] = value
    return value


class Names:
    """Names that are free in a graph, for values and nodes alike."""

    def __init__(self, graph: ir.Graph) -> None:
        self._taken = set(graph.initializers) | {value.name for value in graph.inputs}
        self._taken |= {name for node in graph for name in (node.name, *(value.name for value in node.outputs))}

    def free(self, name: str) -> str:
        """`name`, or `name_2` and so on where it is taken; taken from then on."""
        unique, number = name, 1
        while unique in self._taken:
            number += 1
            unique = f"{name}_{number}"
        self._taken.add(unique)
        return unique
