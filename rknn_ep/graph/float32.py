"""A float16 model as a float32 model, for what plans, quantises and simulates in one float type."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import ModelError
from rknn_ep.graph.provenance import bodies_of

_HALF, _SINGLE = ir.DataType.FLOAT16, ir.DataType.FLOAT


def to_float32(model: ir.Model, *, keep_border: bool = True) -> ir.Model:
    """A copy of the model in which every float16 tensor is float32; a model without float16 is copied as it is.

    Values keep their names. With `keep_border` the graph's inputs and outputs stay float16 behind Casts, under their
    names, and the float32 value behind an input x is called x_float32; without, inputs and outputs become float32.

    Raises:
        ModelError: a body of control flow holds float16 tensors.
    """
    copy = model.clone()
    graph = copy.graph
    border = half_border(model) if keep_border else frozenset()
    for value in graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype == _HALF:
            array = value.const_value.numpy().astype(np.float32)
            value.const_value = ir.Tensor(array, name=value.name)
            value.type = ir.TensorType(_SINGLE)
    for node in graph:
        _refuse_bodies(node)
        for name, attribute in list(node.attributes.items()):
            changed = _attribute(name, attribute)
            if changed is not None:
                node.attributes[name] = changed
        for value in node.outputs:
            if value.dtype == _HALF:
                value.type = ir.TensorType(_SINGLE)
    for value in graph.inputs:
        if value.dtype == _HALF:
            value.type = ir.TensorType(_SINGLE)
    narrow_border(copy, border)
    return copy


def half_border(model: ir.Model) -> frozenset[str]:
    """Names of a graph's float16 inputs and outputs."""
    return frozenset(value.name or "" for value in (*model.graph.inputs, *model.graph.outputs) if value.dtype == _HALF)


def narrow_border(model: ir.Model, names: frozenset[str]) -> None:
    """Put Casts before the float32 inputs and outputs called `names`, in place, so that they are float16 to the outside."""
    for value in [value for value in (*model.graph.inputs, *model.graph.outputs) if value.name in names]:
        _cast_at_border(model.graph, value)


def _attribute(name: str, attribute: ir.Attr) -> ir.Attr | None:
    if (
        attribute.type == ir.AttributeType.INT
        and name in ("to", "dtype", "output_dtype", "stash_type")
        and attribute.value == _HALF
    ):
        return ir.AttrInt64(name, int(_SINGLE))
    if attribute.type == ir.AttributeType.TENSOR and attribute.as_tensor().dtype == _HALF:
        array: np.ndarray[Any, Any] = attribute.as_tensor().numpy().astype(np.float32)
        return ir.AttrTensor(name, ir.Tensor(array))
    return None


def _refuse_bodies(node: ir.Node) -> None:
    for body in bodies_of(node):
        for inner in ir.traversal.RecursiveGraphIterator(body):
            if any(value is not None and value.dtype == _HALF for value in (*inner.inputs, *inner.outputs)):
                raise ModelError(
                    f"the body of {node.op_type} '{node.name}' holds float16 tensors, which stay with the host runtime"
                )


def _cast_at_border(graph: ir.Graph, value: ir.Value) -> None:
    if value.is_graph_input():
        cast, wide = _cast(value, _SINGLE)
        for user, index in tuple(value.uses()):
            if user is not cast:
                user.replace_input_with(index, wide)
        value.type = ir.TensorType(_HALF)
        wide.name = f"{value.name}_float32"
        first = next(iter(graph), None)
        graph.append(cast) if first is None else graph.insert_before(first, cast)
        return
    cast, narrow = _cast(value, _HALF)
    graph.append(cast)
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = narrow
    narrow.name = value.name
    value.name = f"{value.name}_float32"


def _cast(value: ir.Value, to: ir.DataType) -> tuple[ir.Node, ir.Value]:
    node = ir.Node("", "Cast", [value], [ir.AttrInt64("to", int(to))])
    result = node.outputs[0]
    result.type, result.shape = ir.TensorType(to), value.shape
    return node, result
