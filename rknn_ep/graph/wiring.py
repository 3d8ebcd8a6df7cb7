"""Who makes and who reads each value of a graph: plain indices, so that planning stays linear and knows no library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx_ir as ir

from rknn_ep.graph.provenance import bodies_of, captured_by


@dataclass(frozen=True)
class Wiring:
    """One graph's nodes by index, its values by name."""

    reads: list[tuple[str, ...]]
    """Node -> names it reads, each once, in order; initializers included."""
    makes: list[tuple[str, ...]]
    """Node -> names it makes."""
    maker: dict[str, int] = field(default_factory=dict)
    """Name -> the node that makes it."""
    readers: dict[str, list[int]] = field(default_factory=dict)
    """Name -> the nodes that read it, in order."""
    inputs: dict[str, int] = field(default_factory=dict)
    """Names of the graph's inputs, with their places."""
    outputs: dict[str, int] = field(default_factory=dict)
    """Names of the graph's outputs, with their places."""

    def sole_reader(self, name: str) -> int | None:
        """The one node that reads `name`, or None when there are more, or the graph gives it out."""
        readers = self.readers.get(name, ())
        return readers[0] if len(readers) == 1 and name not in self.outputs else None


def wire(graph: ir.Graph) -> Wiring:
    """Index a graph, in its node order. What bodies of control flow read from outside counts as read by their node."""
    wiring = Wiring([], [], inputs=_places(graph.inputs), outputs=_places(graph.outputs))
    for index, node in enumerate(graph):
        made = tuple([value.name for value in node.outputs if value.name])
        read = dict.fromkeys([value.name for value in node.inputs if value is not None and value.name])
        for body in bodies_of(node):
            read.update(dict.fromkeys(sorted(captured_by(body))))
        wiring.makes.append(made)
        wiring.reads.append(tuple(read))
        for name in made:
            wiring.maker[name] = index
        for name in read:
            wiring.readers.setdefault(name, []).append(index)
    return wiring


def _places(values: Iterable[ir.Value]) -> dict[str, int]:
    return {value.name: place for place, value in enumerate(values) if value.name}
