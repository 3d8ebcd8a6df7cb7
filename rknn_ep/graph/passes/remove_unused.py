"""Nodes and initializers that nothing reads any more."""

from __future__ import annotations

import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, done
from rknn_ep.graph.provenance import Provenance


class RemoveUnused(GraphPass):
    """Remove what the passes before made useless.

    Nodes that were useless from the start stay: they are the host's business, and what they read must survive.
    """

    def __init__(self, provenance: Provenance, model: ir.Model) -> None:
        super().__init__(provenance)
        self.useless = {str(value.name) for node in model.graph for value in node.outputs if _idle(value)}

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Backwards, so that chains go at once."""
        graph = model.graph
        removed = 0
        for node in reversed(graph):
            idle = all(_idle(value) for value in node.outputs)
            if idle and not all(value.name in self.useless for value in node.outputs):
                # The host still runs this node, so what it reads keeps its name.
                self.provenance.pinned.update(str(value.name) for value in node.inputs if value is not None)
                graph.remove(node, safe=True)
                removed += 1
        for name, value in list(graph.initializers.items()):
            if _idle(value) and not value.is_graph_input():
                del graph.initializers[name]
                removed += 1
        return done(model, removed)


def _idle(value: ir.Value) -> bool:
    return not value.uses() and not value.is_graph_output()
