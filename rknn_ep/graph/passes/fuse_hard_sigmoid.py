"""clip(x * a + b, 0, 1) is HardSigmoid."""

from __future__ import annotations

import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, done
from rknn_ep.graph.values import is_constant, is_onnx, producer, scalar, take_over


class FuseHardSigmoid(GraphPass):
    """Write HardSigmoid for the form that frontends take it apart into: what it gives lies in 0..1, and the quantiser knows.

    Runs before affine operators are folded into convolutions. Nothing inside the form may be read from outside it.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """One look at every Clip."""
        graph = model.graph
        changes = 0
        for node in list(graph):
            if is_onnx(node, "Clip") and (found := self._match(node)) is not None:
                source, alpha, beta, inner = found
                attributes = [ir.AttrFloat32("alpha", alpha), ir.AttrFloat32("beta", beta)]
                new = ir.Node("", "HardSigmoid", [source], attributes, name=node.name)
                graph.insert_before(node, new)
                take_over(new.outputs[0], node.outputs[0])
                graph.remove(inner, safe=True)
                changes += 1
        return done(model, changes)

    def _match(self, clip: ir.Node) -> tuple[ir.Value, float, float, list[ir.Node]] | None:
        if len(clip.inputs) != 3 or (scalar(clip.inputs[1]), scalar(clip.inputs[2])) != (0.0, 1.0):
            return None
        shifted = _with_number(clip.inputs[0], "Add")
        scaled = _with_number(shifted[0], "Mul") if shifted is not None else None
        if shifted is None or scaled is None or scaled[1] <= 0 or scaled[0].shape != clip.outputs[0].shape:
            return None
        inner = [shifted[2], scaled[2]]
        for node in inner:
            (value,) = node.outputs
            if value.is_graph_output() or value.name in self.provenance.pinned or len(value.uses()) != 1:
                return None
        return scaled[0], scaled[1], shifted[1], inner


def _with_number(value: ir.Value | None, operator: str) -> tuple[ir.Value, float, ir.Node] | None:
    """(other operand, number, node) of a commutative node that makes the value."""
    node = producer(value) if value is not None else None
    if node is None or not is_onnx(node, operator):
        return None
    left, right = node.inputs
    for other, number in ((left, scalar(right)), (right, scalar(left))):
        if number is not None and other is not None and not is_constant(other):
            return other, number, node
    return None
