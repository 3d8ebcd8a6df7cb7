"""BatchNormalization, and constants added or multiplied per channel, go into the convolution before them."""

from __future__ import annotations

import onnx_ir as ir

from rknn_ep.graph.affine import ABSORBERS, absorb, affine_of
from rknn_ep.graph.passes.base import GraphPass, demand, done
from rknn_ep.graph.values import add_constant, is_onnx, take_over


class FoldAffine(GraphPass):
    """Fold per-channel affine nodes behind Conv, ConvTranspose and Gemm into weight and bias.

    The convolution takes over the name of the last value; a convolution whose own output somebody else reads keeps its
    affine node. A BatchNormalization without a convolution before it stays: the NPU runs it as it is.
    """

    def requires(self, model: ir.Model) -> None:
        """No Identity stands between a convolution and what follows it unless it must."""
        for node in model.graph:
            demand(not is_onnx(node, "Constant") or "sparse_value" in node.attributes, "Constant nodes come first")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in topological order, so that chains of several end up in one convolution."""
        changes = 0
        for node in list(model.graph):
            changes += self._fold(model.graph, node)
        return done(model, changes)

    def _fold(self, graph: ir.Graph, node: ir.Node) -> bool:
        affine = affine_of(node)
        before = affine.source.producer() if affine is not None else None
        if affine is None or before is None or before.graph is not graph or not is_onnx(before, *ABSORBERS):
            return False
        if not self.provenance.vanishes(affine.source, node):
            return False
        absorbed = absorb(before, affine)
        if absorbed is None:
            return False
        after = node.outputs[0]
        if absorbed.weight is not None:
            weight = add_constant(graph, self.provenance.fresh(f"{after.name}_weight"), absorbed.weight)
            before.replace_input_with(1, weight)
        bias = add_constant(graph, self.provenance.fresh(f"{after.name}_bias"), absorbed.bias)
        if len(before.inputs) < 3:
            before.resize_inputs(3)
        before.replace_input_with(2, bias)
        take_over(before.outputs[0], after)
        return True
