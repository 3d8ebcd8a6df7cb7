"""int8 weights of each product under names of their own: ONNX Runtime cannot load models in which several share them.

With `session.x64quantprecision` it writes such weights as uint8, on processors whose kernels would saturate, under a name that
comes of the old one's, and their zero points too: the second of two that share one fails ("Attempt to replace the existing
tensor"; ONNX Runtime 1.32). What is copied here is stored once all the same (`external`).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.graphs import DEQUANTIZE, constant, new_initializer


def unshare_weights(model: ir.Model) -> int:
    """Give every reader of dequantised int8 constants a DequantizeLinear, codes and a zero point of its own. Changes `model`.

    Returns:
        How many readers got one.
    """
    graph, seen = model.graph, set[ir.Value]()
    copied = 0
    for node in [node for node in graph if node.op_type == DEQUANTIZE]:
        codes = constant(node.inputs[0])
        if codes is None or codes.dtype != np.int8:
            continue
        parts = [value for value in (node.inputs[0], *node.inputs[2:]) if value is not None]
        if node.outputs[0].is_graph_output():
            seen.update(parts)
        for reader, position in node.outputs[0].uses():
            if not seen.isdisjoint(parts):
                reader.replace_input_with(position, _copy(node, reader))
                copied += 1
            seen.update(parts)
        if not node.outputs[0].uses() and not node.outputs[0].is_graph_output():
            graph.remove(node, safe=True)
    return copied


def _copy(node: ir.Node, reader: ir.Node) -> ir.Value:
    """A DequantizeLinear of the same constants under new names, ahead of its reader."""
    graph, old = node.graph, node.outputs[0]
    assert graph is not None
    name = f"{old.name}_for_{reader.outputs[0].name}"
    inputs = list(node.inputs)
    for position, kind in ((0, "codes"), (2, "zero_point")):
        array = constant(inputs[position]) if position < len(inputs) else None
        if array is not None:
            inputs[position] = new_initializer(graph, f"{name}_{kind}", array)
    made = ir.Node("", DEQUANTIZE, inputs, list(node.attributes.values()), name=name)
    made.outputs[0].name, made.outputs[0].dtype, made.outputs[0].shape = name, old.dtype, old.shape
    graph.insert_before(reader, made)
    return made.outputs[0]
