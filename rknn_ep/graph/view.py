"""The normalised graph that planning works on, with the way back to the graph as it came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import onnx_ir as ir

from rknn_ep.graph.facts import node_facts
from rknn_ep.graph.wiring import Wiring, wire
from rknn_ep.records import NodeFacts, TensorFacts


@dataclass(frozen=True, eq=False)
class ViewNode:
    """A node of the view and the originals it stands for."""

    index: int
    """Its place in `View.nodes`."""
    node: ir.Node
    origins: frozenset[int]
    """Indices into the original graph's nodes. They compute the node's outputs from its inputs and constants."""
    bound_to: int | None = None
    """Index of a view node that must go into the same partition: both stand for some of the same originals."""
    opset: int = field(default=17, repr=False)
    known: dict[ir.Value, TensorFacts] = field(default_factory=dict, repr=False)
    """Facts of values, shared by the nodes of a view."""

    @cached_property
    def facts(self) -> NodeFacts:
        """The node as a capability rule sees it."""
        return node_facts(self.node, self.opset, self.known)


@dataclass(frozen=True, eq=False)
class Original:
    """What planning needs to know of the graph as it came in, node by node."""

    wiring: Wiring
    names: tuple[str, ...]
    op_types: tuple[str, ...]
    initializers: frozenset[str]
    """Names of its constants, which a runtime does not hand over."""
    model: ir.Model | None = None
    """The model itself, untouched; None where it was given away."""

    @classmethod
    def of(cls, model: ir.Model, *, keep: bool) -> Original:
        """Look at a model; with `keep` it must stay as it is."""
        graph = model.graph
        return cls(
            wiring=wire(graph),
            names=tuple([node.name or "" for node in graph]),
            op_types=tuple([node.op_type for node in graph]),
            initializers=constants_of(graph),
            model=model if keep else None,
        )


def constants_of(graph: ir.Graph) -> frozenset[str]:
    """Names of the initializers that a program cannot override."""
    return frozenset(name for name, value in graph.initializers.items() if not value.is_graph_input())


@dataclass(frozen=True, eq=False)
class View:
    """A model ready to be planned. Values have their original names; only new values have new ones."""

    model: ir.Model
    """The normalised graph."""
    original: Original
    """The graph as it came in."""
    nodes: tuple[ViewNode, ...]
    """In topological order, one for each node of `model.graph`."""
    folded: frozenset[int]
    """Originals that no view node stands for: constants, shape computations and what only these needed. A partition
    may claim one when it claims all its consumers."""

    @cached_property
    def wiring(self) -> Wiring:
        """Who makes and reads what among `nodes`."""
        return wire(self.model.graph)

    @property
    def opset(self) -> int:
        """Version of the ONNX operator set that the view's nodes are written in."""
        return int(self.model.opset_imports.get("", 0))
