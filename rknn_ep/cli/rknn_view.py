"""A .rknn file's description for people: what goes in and out, and what runs where; every tensor and node stands in --json."""

from __future__ import annotations

from typing import Any

from rknn_ep.artifact.rknn_file import RknnGraph, RknnMetadata, RknnTensor

MOST_CPU_NODES = 10
_BORDERS = ("InputOperator", "OutputOperator")
"""They stand for the graph's ends and compute nothing."""


def view(metadata: RknnMetadata) -> dict[str, Any]:
    """Facts in the order in which they are shown; a graph for each set of shapes."""
    graphs = [_graph(metadata, graph) for graph in metadata.graphs]
    return {
        "target": metadata.target,
        "compiler": metadata.compiler.partition("(")[0],
        "source": metadata.source,
        "custom_string": metadata.custom_string,
        "weight_bytes": metadata.weight_bytes,
        "internal_bytes": metadata.internal_bytes,
        **(graphs[0] if len(graphs) == 1 else {f"shapes {number}": graph for number, graph in enumerate(graphs, 1)}),
        "all": "tensors and native operators: --json",
    }


def _graph(metadata: RknnMetadata, graph: RknnGraph) -> dict[str, Any]:
    nodes = [node for node in graph.nodes if node.type not in _BORDERS]
    counts: dict[str, Any] = {}
    for node in nodes:
        counts[node.unit] = counts.get(node.unit, 0) + 1
    on_cpu = [node.name for node in nodes if node.unit == "cpu"]
    if len(on_cpu) > MOST_CPU_NODES:
        on_cpu = [*on_cpu[:MOST_CPU_NODES], f"and {len(on_cpu) - MOST_CPU_NODES} more"]
    return {
        "inputs": [_tensor(one, metadata.inputs) for one in graph.inputs],
        "outputs": [_tensor(one, metadata.outputs) for one in graph.outputs],
        "native_operators": counts | ({"on_the_cpu": on_cpu} if on_cpu else {}),
    }


def _tensor(tensor: RknnTensor, described: Any) -> dict[str, Any]:
    said = described.get(tensor.name, {})
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": "x".join(map(str, tensor.dims)),
        "layout": said.get("layout", "") if isinstance(said, dict) else "",
        "scale": f"{tensor.scale[0]:.6g}" if tensor.scale else "",
        "zero_point": tensor.zero_point[0] if tensor.zero_point else "",
    }
