"""Nodes and values as plain records, for rules that know no graph library."""

from __future__ import annotations

from typing import Any

import onnx_ir as ir

from rknn_ep.graph.values import constant, static_shape
from rknn_ep.records import NodeFacts, TensorFacts

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


def node_facts(node: ir.Node, opset: int, known: dict[ir.Value, TensorFacts]) -> NodeFacts:
    """A node with its attributes, inputs and outputs. A nameless node goes by the name of its first output.

    Args:
        node: of a graph that no longer changes.
        opset: that it is written in.
        known: what was found of the graph's values, so that each is looked at once.
    """

    def facts(value: ir.Value) -> TensorFacts:
        found = known.get(value)
        if found is None:
            found = known[value] = tensor_facts(value)
        return found

    return NodeFacts(
        name=node.name or next((value.name for value in node.outputs if value.name), "") or "",
        op_type=node.op_type,
        domain=node.domain,
        opset=opset,
        attributes={
            name: _python(attribute) for name, attribute in node.attributes.data.items() if attribute.type not in _GRAPHS
        },
        inputs=tuple([None if value is None else facts(value) for value in node.inputs]),
        outputs=tuple([facts(value) for value in node.outputs]),
    )


def tensor_facts(value: ir.Value) -> TensorFacts:
    """A value with its static shape, element type (ONNX name) and, where it has one, constant array."""
    dtype = value.dtype.name if value.dtype is not None and value.dtype != ir.DataType.UNDEFINED else ""
    return TensorFacts(name=value.name or "", shape=static_shape(value), dtype=dtype, constant=constant(value))


def _python(attribute: ir.Attr) -> Any:
    value = attribute.value
    if isinstance(value, tuple):
        return list(value)
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.as_tensor().numpy()
    if attribute.type == ir.AttributeType.TENSORS:
        return [tensor.numpy() for tensor in attribute.as_tensors()]
    if attribute.type == ir.AttributeType.STRING and isinstance(value, bytes):
        return value.decode(errors="replace")
    return value
