"""Put quantised partitions back into the whole model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import onnx_ir as ir


class PartitionLike(Protocol):
    """What is needed of a partition here."""

    @property
    def name(self) -> str:
        """Prefix of what its own values are called in the whole."""

    @property
    def nodes(self) -> tuple[int, ...]:
        """Positions of its nodes in the whole graph."""


def replace_partitions(model: ir.Model, parts: Sequence[tuple[PartitionLike, ir.Model]]) -> ir.Model:
    """A copy of `model` in which the nodes of each partition are replaced by the partition's own model.

    Args:
        model: the model whose nodes the partitions count, by their position in the graph.
        parts: (partition, its model): the inputs and outputs of the model have the names that the values have in `model`.
    """
    whole = model.clone()
    graph = whole.graph
    nodes = list(graph)
    values = {value.name: value for value in [*graph.inputs, *graph.initializers.values()]}
    values |= {value.name: value for node in nodes for value in node.outputs}
    for part, replacement in parts:
        _replace(graph, [nodes[index] for index in part.nodes], replacement.clone(), part.name, values)
        for domain, version in replacement.graph.opset_imports.items():
            graph.opset_imports[domain] = max(version, graph.opset_imports.get(domain, 0))
    graph.sort()
    for name in [name for name, value in graph.initializers.items() if not value.uses() and not value.is_graph_output()]:
        del graph.initializers[name]
    return whole


def _replace(graph: ir.Graph, old: Sequence[ir.Node], model: ir.Model, prefix: str, values: dict[str | None, ir.Value]) -> None:
    part = model.graph
    inputs = {value: values[value.name] for value in part.inputs}
    outputs = {value.name: value for value in part.outputs}
    new = list(part)
    part.outputs.clear()
    part.remove(new)
    constants = list(part.initializers.values())
    part.initializers.clear()
    for value in [*constants, *(value for node in new for value in node.outputs)]:
        # A tensor between two partitions is rounded in both: its scale must not be defined twice.
        if value.name in values and value.name not in outputs:
            value.name = f"{prefix}/{value.name}"
    taken = {node.name for node in graph}
    for node in new:
        if node.name and node.name in taken:
            node.name = f"{prefix}/{node.name}"
        for position, value in enumerate(node.inputs):
            if value in inputs:
                node.replace_input_with(position, inputs[value])
    for name, value in outputs.items():
        before = values[name]
        value.name = name
        for index, output in enumerate(graph.outputs):
            if output is before:
                graph.outputs[index] = value
        before.replace_all_uses_with(value)
        before.name = f"{name}_before"
    graph.remove(old, safe=True)
    for value in constants:
        graph.initializers[value.name or ""] = value
    graph.extend(new)
    values |= {value.name: value for value in [*constants, *(value for node in new for value in node.outputs)]}
