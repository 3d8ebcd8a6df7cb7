"""Identity, Dropout and x * 1 do nothing at inference: take them out where no name is lost that somebody needs."""

from __future__ import annotations

import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, demand, done
from rknn_ep.graph.values import initializer, is_constant, is_onnx, scalar, shared, take_over


class RemoveIdentity(GraphPass):
    """Remove Identity, Dropout and x * 1 (in exported x * Sigmoid(1 * x), for one).

    The original must belong to exactly one node of the view, so there are two ways: the node before it takes over the
    name (nobody else reads what it made), or the one node behind it reads past it. Where neither is possible, and
    between a graph input and a graph output, an Identity stays. A Dropout stays in training mode or when its mask is read.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """One look at each node."""
        changes = 0
        for given in list(model.graph):
            kept = _times_one(given)
            node = given if kept is None else _to_identity(model.graph, given, kept)
            changes += kept is not None
            if _does_nothing(node):
                changes += self._remove(model.graph, node)
        return done(model, changes)

    def ensures(self, model: ir.Model) -> None:
        """No Dropout without effect is left."""
        for node in model.graph:
            demand(not is_onnx(node, "Dropout") or not _does_nothing(node), f"Dropout '{node.name}' is left")

    def _remove(self, graph: ir.Graph, node: ir.Node) -> bool:
        before, after = node.inputs[0], node.outputs[0]
        assert before is not None
        if is_constant(before):
            assert before.const_value is not None
            copy = initializer(str(after.name), shared(before.const_value))
            after.replace_all_uses_with(copy, replace_graph_outputs=True)
            self.provenance.constants.add(str(after.name))
            graph.remove(node, safe=True)
            graph.register_initializer(copy)
            return True
        maker = before.producer()
        if maker is not None and maker.graph is graph and self.provenance.vanishes(before, node):
            take_over(before, after)
            return True
        readers = {id(user): user for user, _ in after.uses()}
        if len(readers) == 1 and not after.is_graph_output() and after.name not in self.provenance.pinned:
            (reader,) = readers.values()
            if reader.graph is graph:
                after.replace_all_uses_with(before)
                graph.remove(node, safe=True)
                return True
        if node.op_type == "Identity":
            return False
        _to_identity(graph, node, before)
        return True


def _to_identity(graph: ir.Graph, node: ir.Node, before: ir.Value) -> ir.Node:
    after = node.outputs[0]
    new = ir.Node("", "Identity", [before], name=node.name)
    value = new.outputs[0]
    value.shape, value.type = after.shape, after.type
    graph.insert_before(node, new)
    take_over(value, after)
    return new


def _times_one(node: ir.Node) -> ir.Value | None:
    """The value that a product with the number one gives back."""
    if not is_onnx(node, "Mul"):
        return None
    for position in (0, 1):
        kept, one = node.inputs[position], node.inputs[1 - position]
        if kept is None or kept.shape is None or kept.shape != node.outputs[0].shape or scalar(one) != 1.0:
            continue
        return None if is_constant(kept) else kept
    return None


def _does_nothing(node: ir.Node) -> bool:
    if is_onnx(node, "Identity"):
        return node.inputs[0] is not None and isinstance(node.inputs[0].type, ir.TensorType | None)
    if not is_onnx(node, "Dropout") or any(mask.uses() or mask.is_graph_output() for mask in node.outputs[1:]):
        return False
    ratio, training = (*node.inputs[1:3], None, None)[:2]
    # A ratio computed at run time would leave the original an input that the view does not have.
    return (ratio is None or is_constant(ratio)) and (training is None or scalar(training) == 0.0)
