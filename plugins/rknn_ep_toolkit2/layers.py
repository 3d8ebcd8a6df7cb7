"""What the compiler says about its result: the layer table of a verbose build, and which ONNX nodes each layer is.

    table = read_layers(job.log)
    for layer in table.layers: layer.native, layer.unit, layer.cycles, layer.kilobytes, layer.name
    assign(model, table)  # layer index -> names of the ONNX nodes that it computes

The table is text for people: what cannot be read is left out, and `LayerTable.unread` counts it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from rknn_ep_toolkit2.graphs import DEQUANTIZE, QUANTIZE, constant

_PREFIX = re.compile(r"^\s*[A-Z]\s+RKNN:\s+\[[\d:.]+\] ?")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ROW = re.compile(r"^(\d+)\s+(\S+)\s+(\S+)\s+(NPU|CPU|GPU)\s+(\S+)\s+(\S+)\s*(?:(\d+)/(\d+)/(\d+))?")
_FEATURE = re.compile(r"^(\d+)\s+(\S+)\s+(.*?)\s+(\S+)\s+(\S+)\s+(\([\d,]*\))\s+(\([\d,]*\))\s*\|")
_TOTAL = re.compile(r"Total (Internal|Weight) Memory Size:\s*([\d.]+)\s*(B|KB|MB|GB)")
_UNITS = {"B": 1, "KB": 1024, "MB": 1024**2, "GB": 1024**3}
_NOT_OPERATORS = frozenset({"InputOperator", "OutputOperator"})


@dataclass(frozen=True)
class Layer:
    """One native operator."""

    index: int
    native: str
    """The vendor's operator: ConvRelu, exSoftmax13."""
    dtype: str
    """INT8, INT16, FLOAT16, FLOAT."""
    unit: str
    """npu, cpu or gpu."""
    shapes: str
    """Input and output shapes as the table has them: "(1,3,48,192),(8,3,3,3),(8) -> (1,8,24,96)"."""
    cycles: int
    """The compiler's estimate, memory and arithmetic together; 0 where it makes none."""
    kilobytes: float
    """Read and written."""
    name: str
    """The name of the ONNX node that it comes from, with the compiler's own additions."""
    inputs: tuple[str, ...] = ()
    """Tensors that it reads, constants left out."""


@dataclass(frozen=True)
class LayerTable:
    """One compilation."""

    layers: tuple[Layer, ...]
    internal_bytes: int
    weight_bytes: int
    unread: int = 0
    """Lines of the table that could not be read."""

    @property
    def units(self) -> dict[str, int]:
        """How many native operators each unit runs."""
        units = [layer.unit for layer in self.layers]
        return {unit: units.count(unit) for unit in sorted(set(units))}


def read_layers(log: str) -> LayerTable | None:
    """Read the log of a build with verbose=True; None where there is no table in it."""
    lines = [_PREFIX.sub("", _COLOUR.sub("", line)).rstrip() for line in log.splitlines()]
    header = _header(lines, "Network Layer Information Table")
    if header is None:
        return None
    names = _feature_inputs(lines)
    layers: list[Layer] = []
    unread = 0
    for line in lines[header + 1 :]:
        if line.startswith("---"):
            if layers or unread:
                break
            continue
        layer = _layer(line, lines[header], names)
        if layer is None:
            unread += 1
        elif layer.native not in _NOT_OPERATORS:
            layers.append(layer)
    sizes = {kind: int(float(number) * _UNITS[unit]) for kind, number, unit in _TOTAL.findall(log)}
    return LayerTable(tuple(layers), sizes.get("Internal", 0), sizes.get("Weight", 0), unread)


def _header(lines: list[str], title: str) -> int | None:
    """The line that names the columns of a table."""
    for index, line in enumerate(lines):
        if title in line:
            for later in range(index + 1, min(index + 4, len(lines))):
                if lines[later].startswith("ID "):
                    return later
    return None


def _layer(line: str, header: str, inputs: Mapping[int, tuple[str, ...]]) -> Layer | None:
    found = _ROW.match(line)
    bytes_at, name_at = header.find("RW(KB)"), header.find("FullName")
    if found is None or bytes_at < 0 or name_at < 0:
        return None
    index = int(found[1])
    size, name = line[bytes_at:name_at].strip(), line[name_at:].strip()
    if not size.replace(".", "", 1).isdigit():
        return None
    sources, results = (text.strip("\\") for text in (found[5], found[6]))
    return Layer(
        index=index,
        native=found[2],
        dtype=found[3],
        unit=found[4].lower(),
        shapes=f"{sources} -> {results}",
        cycles=int(found[9] or 0),
        kilobytes=float(size),
        name=name.partition(":")[2] or name,
        inputs=inputs.get(index, ()),
    )


def _feature_inputs(lines: list[str]) -> dict[int, tuple[str, ...]]:
    """Layer index -> the tensors that it reads."""
    header = _header(lines, "Feature Tensor Information Table")
    found: dict[int, tuple[str, ...]] = {}
    if header is None:
        return found
    for line in lines[header + 2 :]:
        if line.startswith("---"):
            break
        if row := _FEATURE.match(line):
            found[int(row[1])] = (*found.get(int(row[1]), ()), row[3])
    return found


# ------------------------------------------------------------------------------------------ which nodes a layer is


def assign(model: ir.Model, table: LayerTable) -> dict[int, tuple[str, ...]]:
    """The ONNX nodes that each layer computes: layer index -> node names, in the graph's order.

    A layer is called after one of its nodes. The others are found by the tensors that the layers read: what is made
    from a layer's node without such a tensor in between, or only to be read by it, was fused into it. Nodes that no
    layer was found for were folded away (a Reshape that changes nothing) and are in none.
    """
    nodes = [node for node in model.graph if node.op_type not in (QUANTIZE, DEQUANTIZE)]
    owners: dict[ir.Node, int] = {}
    by_name = {node.name: node for node in nodes if node.name}
    parts: dict[int, ir.Node] = {}
    """Further layers that one node became, such as the steps of a large average."""
    for layer in table.layers:
        node = _named(layer.name, by_name)
        if node is not None and owners.setdefault(node, layer.index) != layer.index:
            parts[layer.index] = node
    stored: set[str | None] = {name for layer in table.layers for name in layer.inputs}
    for node in nodes:  # downwards: an activation behind its convolution
        if node not in owners and (sources := _sources(node, stored)) and all(source in owners for source in sources):
            owners[node] = max(owners[source] for source in sources)
    for node in reversed(nodes):  # upwards: the Sigmoid of a SiLU that is called after its Mul
        after = _readers(node, stored)
        if node not in owners and after and all(reader in owners for reader in after):
            owners[node] = min(owners[reader] for reader in after)
    found: dict[int, tuple[str, ...]] = {}
    for node in nodes:
        if node in owners:
            found[owners[node]] = (*found.get(owners[node], ()), node.name or "")
    return found | {index: (node.name or "",) for index, node in parts.items()}


def _named(name: str, nodes: Mapping[str, ir.Node]) -> ir.Node | None:
    """The node that a layer is called after: its name, or the longest that the layer's begins with."""
    known = (one for one in nodes if name == one or name.startswith((f"{one}_", f"{one}#", f"{one}-")))
    best = max(known, key=len, default=None)
    return nodes[best] if best is not None else None


def _sources(node: ir.Node, stored: set[str | None]) -> list[ir.Node]:
    """The nodes whose results `node` reads without their being stored in between."""
    found = []
    for value in node.inputs:
        if value is None or constant(value) is not None:
            continue
        maker, names = value.producer(), {value.name}
        while maker is not None and maker.op_type in (QUANTIZE, DEQUANTIZE) and (source := maker.inputs[0]) is not None:
            names.add(source.name)
            maker = source.producer()
        if maker is not None and not names & stored:
            found.append(maker)
    return found


def _readers(node: ir.Node, stored: set[str | None]) -> list[ir.Node]:
    """The nodes that read what `node` makes without its being stored; empty when it is stored or leaves the graph."""
    found: list[ir.Node] = []
    waiting = list(node.outputs)
    while waiting:
        value = waiting.pop()
        if value.name in stored or value.is_graph_output():
            return []
        for reader in (reader for reader, _ in value.uses()):
            if reader.op_type in (QUANTIZE, DEQUANTIZE):
                waiting += reader.outputs
            else:
                found.append(reader)
    return found


def describe(model: ir.Model, table: LayerTable) -> dict[str, Any]:
    """The table for a report: JSON-like."""
    nodes = assign(model, table)
    kinds = {node.name: node.op_type for node in model.graph}
    return {
        "internal_bytes": table.internal_bytes,
        "weight_bytes": table.weight_bytes,
        "native_operators": table.units,
        "cycles": sum(layer.cycles for layer in table.layers),
        "kilobytes": round(sum(layer.kilobytes for layer in table.layers), 1),
        "layers": [
            {
                "native": layer.native,
                "unit": layer.unit,
                "dtype": layer.dtype,
                "nodes": [f"{kinds[name]} {name}" for name in nodes.get(layer.index, ())],
                "name": layer.name,
                "shapes": layer.shapes,
                "cycles": layer.cycles,
                "kilobytes": layer.kilobytes,
            }
            for layer in table.layers
        ],
        **({"unread_lines": table.unread} if table.unread else {}),
    }
