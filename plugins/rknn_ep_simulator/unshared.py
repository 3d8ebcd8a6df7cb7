"""int8 weights of each product under names of their own: ONNX Runtime cannot load models in which several share them.

With `session.x64quantprecision` it writes such weights as uint8, on processors whose kernels would saturate, under a name that
comes of the old one's, and their zero points too: the second of two that share one fails ("Attempt to replace the existing
tensor"; ONNX Runtime 1.32). What is copied here is stored once all the same (`external`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.graphs import DEQUANTIZE, Names, constant, new_initializer


def unshare_weights(model: ir.Model) -> int:
    """Give every reader of dequantised int8 constants a DequantizeLinear, codes and a zero point of its own. Changes `model`.

    Returns:
        How many readers got one.
    """
    graph, names = model.graph, Names(model.graph)
    weights = [node for node in graph if _dequantizes_int8_constants(node)]
    seen = _read_otherwise(weights)
    copied = 0
    for node in weights:
        for reader, position in node.outputs[0].uses():
            parts = _parts(node)
            if not seen.isdisjoint(parts):
                reader.replace_input_with(position, _copy(node, reader, names))
                copied += 1
            seen.update(parts)
        if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
            graph.remove(node, safe=True)
    return copied


def _dequantizes_int8_constants(node: ir.Node) -> bool:
    codes = constant(node.inputs[0]) if node.op_type == DEQUANTIZE else None
    return codes is not None and codes.dtype == np.int8


def _parts(node: ir.Node) -> list[ir.Value]:
    """Codes and zero point."""
    return [value for value in (node.inputs[0], *node.inputs[2:]) if value is not None]


def _read_otherwise(weights: list[ir.Node]) -> set[ir.Value]:
    """Codes and zero points that leave the graph, dequantised, or that something else reads."""
    chosen = set(weights)
    return {
        part
        for node in weights
        for part in _parts(node)
        if node.outputs[0].is_graph_output() or any(reader not in chosen for reader, _ in part.uses())
    }


def _copy(node: ir.Node, reader: ir.Node, names: Names) -> ir.Value:
    """A DequantizeLinear of the same constants under new names, ahead of its reader."""
    graph, old = node.graph, node.outputs[0]
    assert graph is not None
    name = names.free(f"{old.name}_for_{reader.outputs[0].name}")
    inputs = list(node.inputs)
    for position, kind in ((0, "codes"), (2, "zero_point")):
        array = constant(inputs[position]) if position < len(inputs) else None
        if array is not None:
            inputs[position] = new_initializer(graph, names.free(f"{name}_{kind}"), array)
    made = ir.Node("", DEQUANTIZE, inputs, list(node.attributes.values()), name=name)
    made.outputs[0].name, made.outputs[0].dtype, made.outputs[0].shape = name, old.dtype, old.shape
    graph.insert_before(reader, made)
    return made.outputs[0]
