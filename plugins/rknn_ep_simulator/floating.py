"""Which native operators of a partition compute on float16, and which values they store so.

    parts = NativeOperators(graph, groups)
    parts.ends, parts.floating

In a quantised partition an operator computes on codes and is rounded once where all that it reads is quantised and so is its
result. It computes on float16, and stores float16, where its result is read as a float, where it reads a float, and where it is
a normalisation or recurrent: these do so among integers too, and a QuantizeLinear behind is a conversion of its own. Products
are no exception: one whose result stays float multiplies float16; its bias stays float32, and its sum is stored before the
activation that is fused with it. Read off the layer tables and results of single operators (RKNN-Toolkit2 2.5.0;
docs/simulator.md).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import onnx_ir as ir

from rknn_ep.quantization.operators import data_inputs
from rknn_ep_simulator.factors import scaling_of
from rknn_ep_simulator.graphs import DEQUANTIZE, MULTIPLIERS, QUANTIZE, constant, dequantize_of, is_float

ALWAYS_FLOAT = frozenset(
    {"LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "LSTM", "GRU", "ReduceL2"}
)
"""Operators that the NPU has for float16 alone."""
MEANS = frozenset({"ReduceMean", "GlobalAveragePool"})
"""Inside a native operator of several nodes they tell that it is a normalisation, written out."""
MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Concat", "Relu"})
"""What rounding passes through: an operator whose values are quantised behind these is rounded to codes itself."""


class NativeOperators:
    """The nodes of a graph by the native operators that they become."""

    def __init__(self, graph: ir.Graph, groups: Sequence[Sequence[str]]) -> None:
        """Look at a graph.

        Args:
            graph: of a partition, with its QuantizeLinear and DequantizeLinear nodes.
            groups: for each native operator the names of the values that leave it. A node in no group is its own.
        """
        self.nodes = [node for node in graph if node.op_type not in (QUANTIZE, DEQUANTIZE)]
        names = {name for group in groups for name in group}
        ends = {value for node in graph for value in node.outputs if value.name in names}
        grouped = {node for end in ends for node in _upstream(end, ends, through_codes=True)}
        self.ends = {
            value
            for node in self.nodes
            for value in node.outputs
            if value in ends or node not in grouped or any(reader.op_type == QUANTIZE for reader, _ in value.uses())
        }
        """Values that leave a native operator; one that is rounded on its way is two."""
        self.floating: set[ir.Node] = set()
        """Nodes that compute on float16."""
        for node in reversed(self.nodes):
            if self._stores_float16(node) or self._needs_float16(node):
                self.floating.add(node)
        self.ends |= set(self._sums_ahead_of_activations())
        self.ends -= {node.outputs[0] for node in self.floating if scaling_of(node) in self.floating}

    def reads_float16(self, node: ir.Node, value: ir.Value) -> bool:
        """Whether `node` reads `value` as float16: what computes on float16 does, quantised operands too, but for biases."""
        return node in self.floating and not self.is_bias(node, value)

    def is_bias(self, node: ir.Node, value: ir.Value | None) -> bool:
        """Whether `node` adds `value` to the 32-bit sum of a product: it keeps its precision."""
        if node.op_type in ("Conv", "ConvTranspose", "Gemm"):
            return len(node.inputs) > 2 and value is node.inputs[2]
        return self._adds_bias(node) and _is_constant(value)

    def _adds_bias(self, node: ir.Node) -> bool:
        """Whether a node is the bias of a MatMul, and one native operator with it."""
        if node.op_type != "Add":
            return False
        products = [
            value for value in node.inputs if value is not None and _made_by(value, ("MatMul",)) and value not in self.ends
        ]
        return len(products) == 1 and any(_is_constant(value) for value in node.inputs)

    def _stores_float16(self, node: ir.Node) -> bool:
        """Whether somebody reads a result as a float. Readers are known already: nodes are asked from the last."""
        for output in node.outputs:
            readers = [reader for reader, _ in output.uses() if reader.op_type != QUANTIZE]
            if output not in self.ends:
                if any(reader in self.floating for reader in readers):
                    return True
            elif output.is_graph_output() or not all(self._passes_codes(reader) for reader in readers):
                return True
        return False

    def _passes_codes(self, node: ir.Node) -> bool:
        return node.op_type in MOVES and node not in self.floating

    def _needs_float16(self, node: ir.Node) -> bool:
        """Whether a native operator whose result is quantised computes on float16 all the same."""
        if not any(output in self.ends for output in node.outputs):
            return False
        members = _upstream(node.outputs[0], self.ends)
        if any(one.op_type in ALWAYS_FLOAT or (one is not node and one.op_type in MEANS) for one in members):
            return True
        return any(self._reads_a_float(one, members) for one in members if one.op_type not in MOVES)

    @staticmethod
    def _reads_a_float(node: ir.Node, members: set[ir.Node]) -> bool:
        for value in (node.inputs[position] for position in data_inputs(node)):
            if value is None or not is_float(value) or dequantize_of(value) is not None or value.producer() in members:
                continue
            if constant(value) is None or node.op_type in MULTIPLIERS:
                return True
        return False

    def _sums_ahead_of_activations(self) -> Iterator[ir.Value]:
        """What a float product hands to the activation fused with it. An attention has two products, and hands nothing on."""
        for end in self.floating:
            if not any(output in self.ends for output in end.outputs):
                continue
            products = [node for node in _upstream(end.outputs[0], self.ends) if node.op_type in MULTIPLIERS]
            if len(products) == 1:
                yield self._sum_of(products[0])

    def _sum_of(self, product: ir.Node) -> ir.Value:
        """A product's result, with the bias that is added to it."""
        made: ir.Value = product.outputs[0]
        readers = [reader for reader, _ in made.uses()]
        return readers[0].outputs[0] if len(readers) == 1 and self._adds_bias(readers[0]) else made


def _upstream(end: ir.Value, ends: Collection[ir.Value], through_codes: bool = False) -> set[ir.Node]:
    """The nodes that `end` is made from, up to other ends; roundings to codes are passed by, or are ends as well."""
    members: set[ir.Node] = set()
    waiting = [end.producer()]
    while waiting:
        node = waiting.pop()
        if node is None or node in members or (node.op_type in (QUANTIZE, DEQUANTIZE) and not through_codes):
            continue
        members.add(node)
        waiting += [value.producer() for value in node.inputs if value is not None and value not in ends]
    return members


def _made_by(value: ir.Value, kinds: Iterable[str]) -> bool:
    producer = value.producer()
    return producer is not None and producer.op_type in kinds


def _is_constant(value: ir.Value | None) -> bool:
    """Whether a value is a constant, dequantised perhaps."""
    dequantize = dequantize_of(value)
    return constant(value if dequantize is None else dequantize.inputs[0]) is not None
