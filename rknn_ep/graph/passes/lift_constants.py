"""Constant nodes become initializers of the same name."""

from __future__ import annotations

import onnx_ir as ir

from rknn_ep.graph.constant_node import tensor_of
from rknn_ep.graph.passes.base import GraphPass, demand, done
from rknn_ep.graph.values import initializer, shared


class LiftConstants(GraphPass):
    """Turn every Constant node into an initializer. Sparse constants stay nodes.

    onnx-ir's own pass leaves constants that are graph outputs and walks into bodies; here neither is wanted.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Constants keep their names."""
        graph = model.graph
        lifted = []
        for node in graph:
            if node.op_type != "Constant" or node.domain != "":
                continue
            tensor = tensor_of(node)
            if tensor is None:
                continue
            old = node.outputs[0]
            # The attribute's tensor belongs to the original as well: it keeps its own name.
            new = initializer(str(old.name), shared(tensor))
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            graph.register_initializer(new)
            self.provenance.constants.add(str(old.name))
            lifted.append(node)
        graph.remove(lifted, safe=True)
        return done(model, len(lifted))

    def ensures(self, model: ir.Model) -> None:
        """No Constant node with a dense value is left."""
        for node in model.graph:
            demand(node.op_type != "Constant" or node.domain != "" or tensor_of(node) is None, f"Constant '{node.name}' is left")
