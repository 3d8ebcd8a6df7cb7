"""InstanceNormalization as the three native operators that the NPU makes of it: normalise, multiply, add; each is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.graphs import Names, constant, is_float, new_initializer

Array = np.ndarray[Any, Any]


def take_apart(model: ir.Model) -> list[tuple[str, ...]]:
    """Write every InstanceNormalization with constant parameters so. Changes `model`.

    Returns:
        For each operator that is new the name of the value that leaves it, as groups are given.
    """
    added: list[tuple[str, ...]] = []
    names = Names(model.graph)
    for node in list(model.graph):
        x = node.inputs[0] if node.inputs else None
        if node.op_type != "InstanceNormalization" or x is None or x.shape is None or not is_float(x):
            continue
        factor, offset = constant(node.inputs[1]), constant(node.inputs[2])
        if factor is not None and offset is not None:
            added += _three(node, x, factor, offset, names)
    return added


def _three(node: ir.Node, x: ir.Value, factor: Array, offset: Array, names: Names) -> list[tuple[str, ...]]:
    graph, old = node.graph, node.outputs[0]
    assert graph is not None and x.shape is not None
    name, channels = old.name or "", (-1, *[1] * (len(x.shape) - 2))

    def parameter(kind: str, array: Array) -> ir.Value:
        return new_initializer(graph, names.free(f"{name}_{kind}"), array.astype(np.float32))

    neutral = [parameter("one", np.ones_like(factor)), parameter("zero", np.zeros_like(offset))]
    plain = ir.Node("", node.op_type, [x, *neutral], list(node.attributes.values()), name=names.free(f"{name}_plain"))
    scaled = ir.Node(
        "", "Mul", [plain.outputs[0], parameter("factor", factor.reshape(channels))], name=names.free(f"{name}_scaled")
    )
    result = ir.Node("", "Add", [scaled.outputs[0], parameter("offset", offset.reshape(channels))], name=node.name)
    for made in (plain, scaled, result):
        made.outputs[0].name, made.outputs[0].dtype, made.outputs[0].shape = made.name, old.dtype, old.shape
    graph.insert_before(node, [plain, scaled, result])
    old.replace_all_uses_with(result.outputs[0], replace_graph_outputs=True)
    graph.remove(node, safe=True)
    old.name, result.outputs[0].name = None, name
    return [(plain.name or "",), (scaled.name or "",)]
