"""What every pass must respect and record, so that view nodes can be traced back to original nodes.

A host runtime runs the originals that a partition does not take. A value that such an original reads must therefore
survive under its name: it is *pinned*. And a value that was found to be constant is recorded, because the originals
that computed it belong to no single view node.
"""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

_GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)


class Provenance:
    """The record that is handed from pass to pass while one model is normalised."""

    def __init__(self, model: ir.Model) -> None:
        self.constants: set[str] = set()
        """Original values, produced by nodes, that turned out to be constant."""
        self.pinned: set[str] = set(_captured(model.graph))
        """Values that must stay, under their names: bodies of control flow read them, or originals that folded away."""
        self._names = {value.name for value in values_of(model.graph)}

    def fresh(self, base: str) -> str:
        """A value name that the model does not have yet."""
        name, count = base, 0
        while name in self._names:
            count += 1
            name = f"{base}_{count}"
        self._names.add(name)
        return name

    def vanishes(self, value: ir.Value, reader: ir.Node) -> bool:
        """Whether `value` may disappear from the view once `reader` no longer needs it."""
        return (
            not value.is_graph_output()
            and not value.is_graph_input()
            and value.name not in self.pinned
            and all(user is reader for user, _ in value.uses())
        )


def values_of(graph: ir.Graph) -> Iterable[ir.Value]:
    """Every value that a graph defines itself: inputs, initializers, node outputs."""
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _captured(graph: ir.Graph) -> Iterable[str]:
    for node in graph:
        for body in bodies_of(node):
            yield from captured_by(body)


def bodies_of(node: ir.Node) -> list[ir.Graph]:
    """The graphs among a node's attributes: the bodies of If, Loop and Scan."""
    bodies: list[ir.Graph] = []
    for attribute in node.attributes.data.values():  # the dict inside: the mapping around it is slow, and this is asked often
        kind = attribute.type
        if kind not in _GRAPHS or attribute.is_ref():
            continue
        if kind == ir.AttributeType.GRAPH:
            bodies.append(attribute.as_graph())
        else:
            bodies.extend(attribute.as_graphs())
    return bodies


def captured_by(body: ir.Graph) -> set[str]:
    """Names that a body (with the bodies inside it) reads from outside."""
    own = {value.name for value in values_of(body)}
    read: set[str] = {output.name for output in body.outputs if output.name}
    for node in body:
        read.update(value.name for value in node.inputs if value is not None and value.name)
        for inner in bodies_of(node):
            read |= captured_by(inner)
    return read - own
