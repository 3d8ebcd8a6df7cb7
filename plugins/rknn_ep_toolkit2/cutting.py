"""Cuts pieces out of a partition at its float tensors, so that each can be compiled alone, in the same precision.

pieces = Pieces(model)
pieces.cut(3, 7)         # serialised ONNX of nodes 3 to 6, with the QuantizeLinear and DequantizeLinear around them
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

_BETWEEN = ("QuantizeLinear", "DequantizeLinear", "Constant", "Identity")
"""They stand for no work of their own, and go with the nodes that they serve."""
_QUOTED = re.compile(r"'([^']+?)(?:#\d+)?'")
"""A name in the toolkit's words; it numbers the parts into which it splits a node."""


class Pieces:
    """The nodes of a partition in the order of its graph, without those that only quantise."""

    def __init__(self, model: bytes, known: Collection[str] = ()) -> None:
        """`known` are the names that users know; a node of another name was written for the compiler, and goes by its output.

        Raises ValueError where `model` is no valid model: then there is nothing to cut.
        """
        self._known = frozenset(known)
        try:
            self._model = ir.from_proto(onnx.shape_inference.infer_shapes(onnx.load_model_from_string(model)))
            self._model.graph.sort()
        except (DecodeError, RuntimeError, TypeError) as error:
            raise ValueError(str(error)) from error
        self._nodes = [node for node in self._model.graph if node.op_type not in _BETWEEN]

    def __len__(self) -> int:
        return len(self._nodes)

    def names(self, first: int, last: int) -> tuple[str, ...]:
        """What nodes first..last-1 are called, as the option exclude_nodes takes it: their names, else their first outputs."""
        return tuple(self._name(node) for node in self._nodes[first:last])

    def named_in(self, words: str) -> int | None:
        """Which node the toolkit's words name, between quotation marks; None: none, or several."""
        quoted = set(_QUOTED.findall(words))
        found = [index for index, node in enumerate(self._nodes) if node.name in quoted]
        return found[0] if len(found) == 1 else None

    def _name(self, node: ir.Node) -> str:
        stands = node.name and (not self._known or node.name in self._known)
        return (node.name if stands else node.outputs[0].name or node.name) or ""

    def describe(self, first: int, last: int) -> str:
        """The nodes in words: "Resize 'up'"; the two ends where they are many."""
        said = [f"{node.op_type} '{self._name(node)}'" for node in self._nodes[first:last]]
        return ", ".join(said) if len(said) <= 4 else f"{said[0]} to {said[-1]} ({len(said)} nodes)"

    def cut(self, first: int, last: int) -> bytes | None:
        """Nodes first..last-1 as a model; None where a border tensor has no static shape, or nothing is left to feed."""
        chosen = set(self._nodes[first:last])
        inputs = list(dict.fromkeys(value for node in self._nodes[first:last] for value in _sources(node, chosen)))
        outputs = list(
            dict.fromkeys(
                leaf
                for node in self._nodes[first:last]
                for value in node.outputs
                if value.name
                for leaf in _leaves(value, chosen)
            )
        )
        if not inputs or not outputs or any(value.dtype is None or not _is_static(value) for value in (*inputs, *outputs)):
            return None
        graph = ir.convenience.extract(self._model.graph, inputs, outputs)
        graph.name = "piece"
        return bytes(ir.to_proto(ir.Model(graph, ir_version=self._model.ir_version)).SerializeToString())


def _sources(node: ir.Node, chosen: set[ir.Node]) -> Iterator[ir.Value]:
    """The tensors that a piece with `node` has to be fed with: float, before they are quantised."""
    for value in node.inputs:
        if value is None or value.is_initializer():
            continue
        producer = value.producer()
        if producer is None:
            yield value
        elif producer.op_type in _BETWEEN:
            yield from _sources(producer, chosen)
        elif producer not in chosen:
            yield value


def _leaves(value: ir.Value, chosen: set[ir.Node]) -> Iterator[ir.Value]:
    """Where a tensor of a piece leaves it: itself, or itself quantised and dequantised."""
    inside = outside = False
    for node, _ in value.uses():
        if node.op_type in _BETWEEN:
            inside = True
            yield from _leaves(node.outputs[0], chosen)
        elif node in chosen:
            inside = True
        else:
            outside = True
    if outside or value.is_graph_output() or not inside:
        yield value


def _is_static(value: ir.Value) -> bool:
    return value.shape is not None and value.shape.is_static()
