"""Which tensors of a float graph get a scale, and which of them share one: decided before anything is calibrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from rknn_ep.quantization.affine import Range
from rknn_ep.quantization.borders import averaging_factor
from rknn_ep.quantization.operators import (
    CLAMPS,
    GLOBAL_AVERAGES,
    WEIGHTED,
    Role,
    constant,
    data_inputs,
    hard_sigmoid_input,
    relevant_input,
    role,
)

ARITHMETIC = frozenset({"Add", "Sub", "Mul", "Sum", "Where"})
"""Operators that gain nothing from integers: where only float operators read them, they are float too."""
CLAMPABLE = WEIGHTED | {"Add", "Sub", "Mul", "Sum"}
"""Operators that compute a following Relu or Clip for nothing."""


@dataclass(frozen=True)
class Link:
    """A tensor that can have the codes of another: its value is factor * value of the source + offset."""

    source: str
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Placement:
    """Where integers are computed with."""

    integer: frozenset[str]
    """Nodes that work on quantised values, by the name of their first output."""
    scaled: tuple[str, ...]
    """Tensors that are rounded to a grid: these get a QuantizeLinear and DequantizeLinear pair."""
    follows: dict[str, Link]
    """Tensor -> the tensor whose codes it has: moves, pools, and products with a positive number, which round nothing when
    the scale is multiplied too; averages over a window, on a scale that keeps them off the borders between codes."""
    may_follow: dict[str, Link]
    """Tensor -> the tensor whose codes it can have where the ranges allow it: x + number. A rounding less."""
    joins: tuple[tuple[str, tuple[str, ...]], ...]
    """(output, inputs) of each Concat among the integer nodes."""
    bounds: dict[str, Range] = field(default_factory=dict)
    """What part of a tensor's range its only reader tells apart."""

    fixed: dict[str, Range] = field(default_factory=dict)
    """Tensors whose range is known: what a sigmoid makes, and the slope of a HardSigmoid. Those of squeeze-and-excite
    blocks hold so few values that a few samples do not show their range."""

    def observed(self) -> tuple[str, ...]:
        """Tensors whose range must be calibrated: every scaled one that neither follows another nor is fixed."""
        return tuple(name for name in self.scaled if name not in self.follows and name not in self.fixed)


STAYS_FLOAT_AT_THE_END = frozenset({"Softmax", "LogSoftmax"})
"""What these give is not rounded where it leaves the graph, not even on SoCs without float16: it is the CPU side's there."""


def place(model: ir.Model, groups: Sequence[Sequence[str]] = (), everything: bool = False) -> Placement:
    """Decide for every node whether it computes with integers, and for every tensor whether it gets a scale.

    Args:
        model: a float model with types and static shapes.
        groups: for each native operator the names of the values that leave it. Inside a group that computes something
            integers cannot (GELU's Erf, attention's Softmax) everything but its multiply-accumulates stays float.
        everything: no tensor may stay float, for SoCs that have no float16: nodes of every role get rounded operands.
    """
    nodes = list(model.graph)
    if everything:
        integer = {_key(node) for node in nodes if _is_float(node.outputs[0]) and _has_data(node) and not _ends_in_float(node)}
        scaled = _scaled_values(model.graph, nodes, integer, None)
    else:
        stay_float = _float_by_group(nodes, groups)
        integer = _integer_nodes(nodes, stay_float | _float_by_readers(nodes, stay_float))
        scaled = _scaled_values(model.graph, nodes, integer, _inner_values(nodes, groups))
    follows: dict[str, Link] = {}
    may_follow: dict[str, Link] = {}
    joins = []
    for node in nodes:
        if _key(node) not in integer:
            continue
        if role(node) is Role.JOIN:
            joins.append((_key(node), tuple(value.name or "" for value in node.inputs if value is not None)))
        found, certain = _link(node)
        if found is None or found.source not in scaled:
            continue
        for output in node.outputs:
            if output.name in scaled:
                (follows if certain else may_follow)[output.name] = found
    return Placement(
        frozenset(integer), tuple(scaled), follows, may_follow, tuple(joins), dict(_bounds(scaled.values())), _fixed(scaled)
    )


def _link(node: ir.Node) -> tuple[Link | None, bool]:
    """(the tensor whose codes the node's outputs can have, whether that is so whatever the ranges)."""
    first = node.inputs[0]
    if role(node) is Role.FOLLOW:
        if node.op_type in GLOBAL_AVERAGES:
            return None, False
        return Link(first.name or "", averaging_factor(node)) if first is not None else None, True
    if node.op_type not in ("Add", "Mul"):
        return None, False
    for position in (0, 1):
        value, other = node.inputs[position], node.inputs[1 - position]
        if value is None or other is None:
            continue
        number = constant(other)
        if number is not None and number.size == 1 and value.shape == node.outputs[0].shape:
            if node.op_type == "Add":
                return Link(value.name or "", offset=float(number.item())), False
            return (Link(value.name or "", factor=float(number.item())), True) if number.item() > 0 else (None, False)
    return None, False


def _key(node: ir.Node) -> str:
    return node.outputs[0].name or ""


def _is_float(value: ir.Value | None) -> bool:
    return value is not None and value.dtype in (ir.DataType.FLOAT, None)


def _inner_values(nodes: Sequence[ir.Node], groups: Sequence[Sequence[str]]) -> frozenset[str]:
    """Values that never leave the native operator that makes them."""
    if not groups:
        return frozenset()
    leaving = {name for group in groups for name in group}
    return frozenset(value.name or "" for node in nodes for value in node.outputs) - leaving


def _float_by_group(nodes: Sequence[ir.Node], groups: Sequence[Sequence[str]]) -> frozenset[str]:
    """Nodes that stay float because a fellow of their group must."""
    makers = {value.name: node for node in nodes for value in node.outputs}
    ends = {name for group in groups for name in group}
    stay: set[str] = set()
    for group in groups:
        members: dict[str, ir.Node] = {}
        waiting = [makers[name] for name in group if name in makers]
        while waiting:
            node = waiting.pop()
            if _key(node) in members:
                continue
            members[_key(node)] = node
            for value in node.inputs:
                if value is not None and value.name in makers and value.name not in ends:
                    waiting.append(makers[value.name])
        if len(members) > 1 and any(role(node) is Role.FLOAT for node in members.values()):
            stay |= {key for key, node in members.items() if node.op_type not in WEIGHTED}
    return frozenset(stay)


def _float_by_readers(nodes: Sequence[ir.Node], stay_float: frozenset[str]) -> frozenset[str]:
    """Sums and products, and what moves them, that only float operators read.

    The mask of an attention is -10,000 or less: one step of an 8-bit grid over scores and mask would be as wide as all scores
    together. The sums that a LayerNormalization reads carry the few huge channels of a residual stream. Neither is read as
    integers anywhere, so neither is rounded: they come from int32 sums or float16 values and stay in float16.
    """
    found: set[str] = set()
    for node in reversed(nodes):
        moves = role(node) in (Role.FOLLOW, Role.JOIN)
        if not (moves or (node.op_type in ARITHMETIC and not _is_matrix_bias(node))) or node.outputs[0].is_graph_output():
            continue
        readers = [reader for output in node.outputs for reader, _ in output.uses()]
        if readers and all(
            _key(reader) in found or (_key(reader) in stay_float and reader.op_type not in WEIGHTED) or role(reader) is Role.FLOAT
            for reader in readers
        ):
            found.add(_key(node))
    return frozenset(found)


def _integer_nodes(nodes: Sequence[ir.Node], stay_float: frozenset[str]) -> set[str]:
    """Computing nodes, and those that move values between them."""
    integer = {
        _key(node)
        for node in nodes
        if role(node) is Role.COMPUTE and _key(node) not in stay_float and _is_float(node.outputs[0]) and _has_data(node)
    }
    movers = [node for node in nodes if role(node) in (Role.FOLLOW, Role.JOIN) and _key(node) not in stay_float]
    movers = [node for node in movers if _is_float(node.outputs[0]) and _has_data(node)]
    for node in movers:  # downwards: what an integer node makes stays integer
        sources = [value for value in node.inputs if value is not None and value.producer() is not None]
        if sources and all(_key(value.producer()) in integer for value in sources if _is_float(value)):
            integer.add(_key(node))
    for node in reversed(movers):  # upwards: what only integer nodes read may be moved as integers
        readers = [reader for output in node.outputs for reader, _ in output.uses()]
        if readers and all(_key(reader) in integer for reader in readers):
            integer.add(_key(node))
    return integer


def _ends_in_float(node: ir.Node) -> bool:
    return node.op_type in STAYS_FLOAT_AT_THE_END and not any(value.uses() for value in node.outputs)


def _has_data(node: ir.Node) -> bool:
    """Whether any data input is not a constant."""
    values = [node.inputs[position] for position in data_inputs(node) if position < len(node.inputs)]
    return all(_is_float(value) for value in values) and any(constant(value) is None for value in values)


def _scaled_values(
    graph: ir.Graph, nodes: Sequence[ir.Node], integer: set[str], inside: frozenset[str] | None
) -> dict[str, ir.Value]:
    """Tensors to round. `inside`: what never leaves its native operator; None where nothing may stay float for that."""
    scaled: dict[str, ir.Value] = {}
    outputs = {value.name for value in graph.outputs}
    for value in [*graph.inputs, *(value for node in nodes for value in node.outputs)]:
        if not _is_float(value) or value.name is None:
            continue
        producer = value.producer()
        made = producer is not None and _key(producer) in integer
        read = any(_key(reader) in integer and position in data_inputs(reader) for reader, position in value.uses())
        if not (made or read):
            continue
        if made and value.name not in outputs and _is_absorbed(value, integer, inside):
            continue
        scaled[value.name] = value
    return scaled


def _is_absorbed(value: ir.Value, integer: set[str], inside: frozenset[str] | None) -> bool:
    """Whether the node that makes `value` and its reader are one native operator without a rounding between them."""
    producer = value.producer()
    readers = [reader for reader, _ in value.uses()]
    assert producer is not None
    if inside is not None and readers and _makes_floats(producer) and not any(_key(reader) in integer for reader in readers):
        return True
    if len(readers) != 1:
        # An inner value of a float group (attention scores, the argument of GELU) may be read twice.
        return (
            inside is not None
            and value.name in inside
            and bool(readers)
            and not any(_key(reader) in integer for reader in readers)
        )
    reader = readers[0]
    if _key(reader) not in integer:
        return inside is not None and value.name in inside
    if reader.op_type in CLAMPS and producer.op_type in CLAMPABLE:
        return True
    if producer.op_type == "Sigmoid" and reader.op_type == "Mul" and producer.inputs[0] in reader.inputs:
        return True  # SiLU
    # The bias of a linear layer: MatMul + Add of a vector.
    return (
        producer.op_type == "MatMul"
        and constant(producer.inputs[1]) is not None
        and reader.op_type == "Add"
        and any(constant(other) is not None and constant(other).ndim <= 1 for other in reader.inputs)  # type: ignore[union-attr]
    )


def _makes_floats(node: ir.Node) -> bool:
    """Whether a node is a matrix product, with its bias perhaps: its int32 sums can go straight to a float reader.

    The logits of a Softmax would lose much by being rounded to 8 bits first. Convolutions round: a float reader is rare
    behind them, and ONNX Runtime has no integer convolution that makes floats.
    """
    return node.op_type in ("MatMul", "Gemm") or _is_matrix_bias(node)


def _is_matrix_bias(node: ir.Node) -> bool:
    """Whether a node is the Add of a vector behind a matrix product."""
    if node.op_type != "Add":
        return False
    makers = [value.producer() for value in node.inputs if value is not None]
    return any(
        maker is not None
        and maker.op_type == "MatMul"
        and constant(maker.inputs[1]) is not None
        and len(maker.outputs[0].uses()) == 1
        for maker in makers
    ) and any((array := constant(value)) is not None and array.ndim <= 1 for value in node.inputs)


def _fixed(scaled: dict[str, ir.Value]) -> dict[str, Range]:
    fixed = {}
    for name, value in scaled.items():
        producer = value.producer()
        readers = [reader for reader, _ in value.uses()]
        if producer is not None and producer.op_type in ("Sigmoid", "HardSigmoid"):
            fixed[name] = Range(0.0, 1.0)
        elif producer is not None and producer.op_type in WEIGHTED and len(readers) == 1 and not value.is_graph_output():
            limits = hard_sigmoid_input(readers[0]) if readers[0].op_type == "HardSigmoid" else None
            if limits is not None:
                fixed[name] = limits
    return fixed


def _bounds(scaled: object) -> list[tuple[str, Range]]:
    found = []
    for value in scaled:  # type: ignore[attr-defined]
        readers = [reader for reader, _ in value.uses()]
        if value.is_graph_output() or value.is_graph_input():
            continue
        if len(readers) == 1 and (limits := relevant_input(readers[0])) is not None:
            found.append((value.name, limits))
        elif len(readers) == 2 and {reader.op_type for reader in readers} == {"Sigmoid", "Mul"}:
            gate = next(reader for reader in readers if reader.op_type == "Sigmoid")
            product = next(reader for reader in readers if reader.op_type == "Mul")
            if gate.outputs[0] in product.inputs:
                found.append((value.name, Range(-8.0, float("inf"))))  # SiLU(-8) is -0.003
    return found
