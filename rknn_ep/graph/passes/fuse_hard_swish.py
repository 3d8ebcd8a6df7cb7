"""x * clip(x + 3, 0, 6) / 6, in any order, is HardSwish."""

from __future__ import annotations

import math
from dataclasses import dataclass

import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, done
from rknn_ep.graph.values import is_constant, is_onnx, producer, scalar, take_over

_TOLERANCE = 1e-3
"""Relative; 1/6 as float16 is off by 1.6e-4."""


@dataclass(frozen=True)
class _Scaled:
    """factor * value, with the nodes that multiply."""

    factor: float
    value: ir.Value
    nodes: tuple[ir.Node, ...]


class FuseHardSwish(GraphPass):
    """Write HardSwish for the exported forms: with Mul by 1/6 or Div by 6 anywhere, or x * HardSigmoid(x, 1/6, 0.5).

    Nothing inside the form may be read from outside it. HardSwish exists from opset 14.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Look from the end, so that the outermost multiplication of a form is met first."""
        graph = model.graph
        if model.opset_imports.get("", 0) < 14:
            return done(model, False)
        gone: set[int] = set()
        changes = 0
        for node in reversed(list(graph)):
            if id(node) in gone or not is_onnx(node, "Mul", "Div"):
                continue
            found = self._match(node)
            if found is not None:
                source, inner = found
                gone.update(id(one) for one in inner)
                _write(graph, node, source, inner)
                changes += 1
        return done(model, changes)

    def _match(self, last: ir.Node) -> tuple[ir.Value, list[ir.Node]] | None:
        whole = _peel(last.outputs[0])
        product = producer(whole.value)
        if product is None or not is_onnx(product, "Mul") or None in product.inputs:
            return None
        for plain_value, gate_value in (product.inputs, reversed(product.inputs)):
            assert plain_value is not None and gate_value is not None
            gate = _peel(gate_value)
            matched = _gate(gate.value)
            if matched is None:
                continue
            factor, source, nodes = matched
            plain = _peel(plain_value, until=source)
            whole_factor = whole.factor * plain.factor * gate.factor * factor
            if source is not plain.value or not math.isclose(whole_factor, 1 / 6, rel_tol=_TOLERANCE):
                continue
            inner = list({id(one): one for one in (*whole.nodes, product, *plain.nodes, *gate.nodes, *nodes)}.values())
            inner = [one for one in inner if one is not last]
            if self._closed(last, inner):
                return source, inner
        return None

    def _closed(self, last: ir.Node, inner: list[ir.Node]) -> bool:
        inside = {id(last), *(id(node) for node in inner)}
        return all(
            not value.is_graph_output()
            and value.name not in self.provenance.pinned
            and all(id(user) in inside for user, _ in value.uses())
            for node in inner
            for value in node.outputs
        )


def _peel(value: ir.Value, until: ir.Value | None = None) -> _Scaled:
    """Take scalar factors off: value = factor * core. The core may itself be something scaled: `until` stops there."""
    factor = 1.0
    nodes: list[ir.Node] = []
    while True:
        node = producer(value)
        if value is until or node is None or not is_onnx(node, "Mul", "Div") or len(node.inputs) != 2:
            return _Scaled(factor, value, tuple(nodes))
        left, right = node.inputs
        number, core = scalar(right), left
        if number is None and is_onnx(node, "Mul"):
            number, core = scalar(left), right
        if number is None or number == 0 or core is None or is_constant(core) or core.shape != value.shape:
            return _Scaled(factor, value, tuple(nodes))
        factor = factor * number if node.op_type == "Mul" else factor / number
        nodes.append(node)
        value = core


def _gate(value: ir.Value) -> tuple[float, ir.Value, list[ir.Node]] | None:
    """The gate as (factor, x, nodes), where factor * 6 * hard_sigmoid(x) is what the value holds."""
    node = producer(value)
    if node is None:
        return None
    if is_onnx(node, "HardSigmoid") and node.inputs[0] is not None:
        alpha, beta = node.attributes.get_float("alpha", 0.2), node.attributes.get_float("beta", 0.5)
        right = math.isclose(alpha, 1 / 6, rel_tol=_TOLERANCE) and math.isclose(beta, 0.5, rel_tol=_TOLERANCE)
        return (1 / 6, node.inputs[0], [node]) if right else None
    if not is_onnx(node, "Clip") or len(node.inputs) != 3 or (scalar(node.inputs[1]), scalar(node.inputs[2])) != (0.0, 6.0):
        return None
    add = producer(node.inputs[0])
    if add is None or not is_onnx(add, "Add"):
        return None
    left, right_value = add.inputs
    for source, three in ((left, right_value), (right_value, left)):
        if scalar(three) == 3.0 and source is not None:
            return 1.0, source, [node, add]
    return None


def _write(graph: ir.Graph, last: ir.Node, source: ir.Value, inner: list[ir.Node]) -> None:
    new = ir.Node("", "HardSwish", [source], name=last.name)
    graph.insert_before(last, new)
    take_over(new.outputs[0], last.outputs[0])
    graph.remove(inner, safe=True)
