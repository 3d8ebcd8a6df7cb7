"""Shapes and constants in one walk: each finds what the other needs next."""

from __future__ import annotations

import logging

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import ShapeError
from rknn_ep.graph.evaluation import evaluate, foldable
from rknn_ep.graph.inference import NodeInference
from rknn_ep.graph.passes.base import GraphPass, demand, done
from rknn_ep.graph.provenance import Provenance
from rknn_ep.graph.values import initializer, is_constant, is_onnx, shared, static_shape

log = logging.getLogger(__name__)

_SLACK = 1 << 20
"""Bytes by which a folded constant may exceed what it was computed from."""


class InferAndFold(GraphPass):
    """Infer every node's outputs and fold what depends on constants and static shapes only.

    One walk in topological order is enough, because a Shape of a static tensor is a constant at once and the Reshape
    behind it sees that constant. onnxscript's folder was tried: it renames values of the model, leaves operators
    with several outputs, and walks into bodies.

    Args:
        frozen: the user gave shapes, so that an inference error is about them.

    Raises:
        ShapeError: the given shapes do not fit a node.
    """

    def __init__(self, provenance: Provenance, *, frozen: bool) -> None:
        super().__init__(provenance)
        self.frozen = frozen

    def requires(self, model: ir.Model) -> None:
        """Nodes come after what they read."""
        seen: set[int] = set()
        for node in model.graph:
            for value in node.inputs:
                maker = value.producer() if value is not None else None
                demand(maker is None or maker.graph is not model.graph or id(maker) in seen, "nodes are not in topological order")
            seen.add(id(node))

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Walk once."""
        inference = NodeInference(model)
        folded = 0
        for node in model.graph:
            tensors = self._fold(node, inference)
            if tensors is not None:
                self._replace(node, tensors)
                folded += 1
            elif not inference.infer(node) and inference.failure and self.frozen:
                raise _misfit(node, inference.failure)
        return done(model, folded)

    def _fold(self, node: ir.Node, inference: NodeInference) -> list[ir.TensorProtocol] | None:
        if is_onnx(node, "Shape", "Size"):
            shape = static_shape(node.inputs[0])
            return None if shape is None else [_shape_result(node, shape)]
        if not all(value is None or is_constant(value) for value in node.inputs):
            return None
        if is_onnx(node, "Identity") and node.inputs[0] is not None and node.inputs[0].const_value is not None:
            return [shared(node.inputs[0].const_value)]
        return self._evaluate(node, inference) if foldable(node) else None

    def _evaluate(self, node: ir.Node, inference: NodeInference) -> list[ir.TensorProtocol] | None:
        inference.infer(node)
        given = sum(value.const_value.nbytes for value in node.inputs if value is not None and value.const_value is not None)
        if _expected_bytes(node) > given + _SLACK:
            return None
        tensors = evaluate(node, inference.opsets[""])
        if tensors is None or sum(tensor.nbytes for tensor in tensors) > given + _SLACK:
            return None
        return tensors

    def _replace(self, node: ir.Node, tensors: list[ir.TensorProtocol]) -> None:
        graph = node.graph
        assert graph is not None
        for old, tensor in zip(node.outputs, tensors, strict=True):
            if not old.name:
                continue
            new = initializer(old.name, tensor)
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            graph.register_initializer(new)
            self.provenance.constants.add(old.name)
        # The host may still run this node: what it reads must not vanish.
        self.provenance.pinned.update(str(value.name) for value in node.inputs if value is not None and not is_constant(value))
        graph.remove(node, safe=True)


def _shape_result(node: ir.Node, shape: tuple[int, ...]) -> ir.TensorProtocol:
    if node.op_type == "Size":
        return ir.Tensor(np.array(np.prod(shape, dtype=np.int64), dtype=np.int64))
    start = node.attributes.get_int("start", 0)
    end = node.attributes.get_int("end", len(shape))
    return ir.Tensor(np.array(shape, dtype=np.int64)[start:end])


def _expected_bytes(node: ir.Node) -> int:
    total = 0
    for value in node.outputs:
        shape = static_shape(value)
        if shape is not None and value.dtype is not None and value.dtype != ir.DataType.STRING:
            total += int(np.prod(shape, dtype=np.float64) * value.dtype.itemsize)
    return total


def _misfit(node: ir.Node, failure: str) -> ShapeError:
    inputs = ", ".join(f"{value.name}:{value.shape or '?'}" for value in node.inputs if value is not None)
    return ShapeError(
        f"the given input shapes do not fit {node.op_type} '{node.name or node.outputs[0].name}' with inputs {inputs}: {failure}",
        remedy="Give sizes that the model's reshapes and strides allow (often a multiple of 32).",
    )
