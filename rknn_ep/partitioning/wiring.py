"""Who makes and who reads each value of a graph: plain indices, so that planning stays linear and knows no library.

Bodies of control flow read values of the graph around them; those reads count as their node's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import onnx_ir as ir

from rknn_ep.graph.provenance import bodies_of, captured_by

if TYPE_CHECKING:
    from rknn_ep.graph import View


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


@dataclass(frozen=True)
class Wires:
    """A view with both its graphs wired."""

    view: View
    within: Wiring
    """The view's graph; its nodes are `view.nodes` in order."""
    original: Wiring
    constants: frozenset[str]
    """Values that are constant in the view."""
    initializers: frozenset[str]
    """Values that are constant in the original, which a runtime does not hand over."""

    @classmethod
    def of(cls, view: View) -> Wires:
        """Wire the two graphs of a view."""
        inner, outer = view.model.graph, view.original.graph
        return cls(view, wire(inner), wire(outer), _constants(inner), _constants(outer))


def _constants(graph: ir.Graph) -> frozenset[str]:
    return frozenset(name for name, value in graph.initializers.items() if not value.is_graph_input())


def wire(graph: ir.Graph) -> Wiring:
    """Index a graph, in its node order."""
    reads = [tuple(dict.fromkeys(_reads(node))) for node in graph]
    makes = [tuple(value.name for value in node.outputs if value.name) for node in graph]
    wiring = Wiring(reads, makes, inputs=_places(graph.inputs), outputs=_places(graph.outputs))
    for index, names in enumerate(makes):
        for name in names:
            wiring.maker[name] = index
    for index, names in enumerate(reads):
        for name in names:
            wiring.readers.setdefault(name, []).append(index)
    return wiring


def _places(values: Iterable[ir.Value]) -> dict[str, int]:
    return {value.name: place for place, value in enumerate(values) if value.name}


def _reads(node: ir.Node) -> Iterable[str]:
    for value in node.inputs:
        if value is not None and value.name:
            yield value.name
    for body in bodies_of(node):
        yield from sorted(captured_by(body))
