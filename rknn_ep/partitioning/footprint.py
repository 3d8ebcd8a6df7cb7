"""How much memory a partition needs on the device, before any compiler has said so.

An estimate, and it says so wherever it is shown: the vendor's compiler knows better, and once there is a .rknn its own figures
are used (`rknn_ep.memory`). The rules were read off the tensor sizes and offsets that .rknn files of our own making state
(toolkit 2.5.0, rk3588); how far they are off on real models stands in docs/doctor.md.

- A tensor at the border of a native operator is stored; what lies inside one is not (`groups`).
- Real numbers are stored in the precision's codes: int8 one byte, int16 and fp16 two.
- A tensor of rank 4 is stored in NC1HWC2, whose channels fill units of 16 bytes; convolutions round up to 32 bytes,
  depthwise ones to 64. Pictures (up to 4 channels coming in) are not rounded.
- A HardSwish or SiLU in float16 takes its convolution's room three times; a SiLU in int8 four times, with the convolution's own
  beside it while it is computed.
- A tensor occupies internal memory from its making to its last reading, inputs and outputs too; what an operator reads and
  what it makes are there together. Operators run in the graph's order.
- Weights are the constants in codes, output channels rounded up to a unit, biases in 32 bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import onnx_ir as ir

from rknn_ep.partitioning.costs import ELEMENT_BYTES

UNIT = 16
"""Bytes of the innermost channel block of NC1HWC2."""
CONVOLUTION_UNIT, DEPTHWISE_UNIT = 32, 64
PICTURE_CHANNELS = 4
HALF_SWISH = 3
INT8_SILU = 4
CODE_BYTES = {"int8": 1, "int16": 2, "fp16": 2}
_VIEWS = ("QuantizeLinear", "DequantizeLinear", "Cast")
"""What only shows a tensor in other numbers."""
_SHAPED = ("Resize", "Reshape", "Slice", "Pad", "Clip", "Unsqueeze", "Squeeze", "Split", "Expand", "Tile")
"""Whose further inputs say how, not what."""
_REAL = (ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16)
_WITH_BIAS = ("Conv", "ConvTranspose", "Gemm")


@dataclass(frozen=True)
class Footprint:
    """Bytes of device memory."""

    weights: int
    internal: int
    inputs: int
    outputs: int


def footprint(model: ir.Model, precision: str, groups: Iterable[Sequence[str]] = ()) -> Footprint:
    """Estimate a partition's memory.

    Args:
        model: the partition, float or QDQ, with static shapes.
        precision: int8, int16 or fp16; in a QDQ model what is not quantised counts as float16.
        groups: for each native operator the names of the values it gives out; empty: every node is one.
    """
    sizes = _Sizes(model, precision)
    names = {name for group in groups for name in group}
    ends = {
        _source(value)
        for node in model.graph
        for value in node.outputs
        if not names or value.name in names or any(reader.op_type == "QuantizeLinear" for reader, _ in value.uses())
    }
    return Footprint(
        weights=sum(sizes.constant(value) for value in model.graph.initializers.values()),
        internal=_peak(model, sizes, ends),
        inputs=sum(sizes.plain(value) for value in _inputs(model)),
        outputs=sum(sizes.plain(_source(value)) for value in model.graph.outputs),
    )


class _Sizes:
    def __init__(self, model: ir.Model, precision: str) -> None:
        self.quantized = any(node.op_type == "DequantizeLinear" for node in model.graph)
        self.code = CODE_BYTES[precision]

    def plain(self, value: ir.Value) -> int:
        """Bytes of an input or output as programs hand it over: without rounding; 0 where the shape is not known."""
        return prod(_shape(value) or (0,)) * self._element(value)

    def stored(self, value: ir.Value, ends: set[ir.Value]) -> int:
        """Bytes of an activation in internal memory; 0 where the shape is not known."""
        shape = _shape(value)
        size = self._element(value)
        if shape is None or len(shape) != 4 or size > UNIT:
            return self.plain(value)
        chain = _chain(value, ends)
        if not chain and shape[1] <= PICTURE_CHANNELS:
            return self.plain(value)
        convolution = next((node for node in chain if node.op_type in ("Conv", "ConvTranspose")), None)
        unit = UNIT if convolution is None else DEPTHWISE_UNIT if _depthwise(convolution) else CONVOLUTION_UNIT
        swish = _is_silu(value) or any(node.op_type == "HardSwish" for node in chain)
        times = HALF_SWISH if size == 2 and convolution and swish else INT8_SILU if size == 1 and _is_silu(value) else 1
        return prod((shape[0], *shape[2:])) * _aligned(shape[1] * size, unit) * times

    def beside(self, value: ir.Value, ends: set[ir.Value]) -> int:
        """Bytes that are there only while `value` is made: what a SiLU in int8 reads."""
        return self.stored(value, ends) // INT8_SILU if _is_silu(value) and self._element(value) == 1 else 0

    def constant(self, value: ir.Value) -> int:
        """Bytes of a constant: nothing for scales, zero points and what describes shapes."""
        uses = list(value.uses())
        shape = _shape(value)
        if shape is None or not uses or all(_parameter(node, index) for node, index in uses):
            return 0
        if any(node.op_type in _WITH_BIAS and index == 2 for node, index in _readers(value)):
            return 4 * prod(shape)
        size = self._element(value)
        if len(shape) == 4:
            shape = (_aligned(shape[0], UNIT), *shape[1:])
        return prod(shape) * size

    def _element(self, value: ir.Value) -> int:
        """Bytes of one element in the device."""
        if value.dtype is None:
            return 0
        if value.dtype not in _REAL:
            return ELEMENT_BYTES.get(value.dtype.name, 8)
        if not self.quantized:
            return self.code
        codes = [node.outputs[0].dtype for node, _ in value.uses() if node.op_type == "QuantizeLinear"]
        return int(codes[0].itemsize) if codes and codes[0] is not None else 2


def _peak(model: ir.Model, sizes: _Sizes, ends: set[ir.Value]) -> int:
    """The most that tensors occupy together."""
    nodes = list(model.graph)
    ready = _ready(nodes, ends)
    last: dict[ir.Value, int] = {_source(value): len(nodes) for value in model.graph.outputs}
    for node in nodes:
        for value in node.inputs:
            if value is not None:
                last[_source(value)] = max(ready[node], last.get(_source(value), 0))
    dying: dict[int, int] = {}

    def born(value: ir.Value, index: int) -> int:
        size = sizes.stored(value, ends)
        end = max(last.get(value, index), index)
        dying[end] = dying.get(end, 0) + size
        return size

    live = peak = sum(born(value, 0) for value in _inputs(model))
    for index, node in enumerate(nodes):
        if node.op_type not in _VIEWS:
            live += sum(born(value, index) for value in node.outputs if value in ends)
        peak = max(peak, live + sum(sizes.beside(value, ends) for value in node.outputs if value in ends))
        live -= dying.get(index, 0)
    return peak


def _ready(nodes: Sequence[ir.Node], ends: set[ir.Value]) -> dict[ir.Node, int]:
    """Node -> where the native operator that it is part of has made its result: until then what it reads must stay."""
    place = {node: index for index, node in enumerate(nodes)}
    ready: dict[ir.Node, int] = {}
    for node in reversed(nodes):
        inside = node.op_type not in _VIEWS and not any(value in ends for value in node.outputs)
        readers = [use.node for value in node.outputs for use in value.uses() if use.node in ready] if inside else []
        ready[node] = max((ready[reader] for reader in readers), default=place[node])
    return ready


def _inputs(model: ir.Model) -> list[ir.Value]:
    return [value for value in model.graph.inputs if value.name not in model.graph.initializers]


def _chain(value: ir.Value, ends: set[ir.Value]) -> list[ir.Node]:
    """The nodes of the native operator that makes `value`, from its end backwards along the first input."""
    chain: list[ir.Node] = []
    producer = value.producer()
    while producer is not None:
        chain.append(producer)
        before = producer.inputs[0] if producer.inputs else None
        producer = before.producer() if before is not None and _source(before) not in ends else None
    return chain


def _is_silu(value: ir.Value) -> bool:
    """Whether it is x * Sigmoid(x)."""
    node = value.producer()
    if node is None or node.op_type != "Mul":
        return False
    for gate, other in (node.inputs, node.inputs[::-1]):
        maker = gate.producer() if gate is not None else None
        if maker is not None and maker.op_type == "Sigmoid" and maker.inputs[0] is other:
            return True
    return False


def _depthwise(node: ir.Node) -> bool:
    value = node.inputs[1] if len(node.inputs) > 1 else None
    weight = None if value is None else _shape(_source(value))
    return weight is not None and node.op_type == "Conv" and weight[1] == 1 and weight[0] > 1


def _source(value: ir.Value) -> ir.Value:
    """The value whose codes `value` shows."""
    producer = value.producer()
    while producer is not None and producer.op_type in _VIEWS and producer.inputs[0] is not None:
        value = producer.inputs[0]
        producer = value.producer()
    return value


def _readers(value: ir.Value) -> list[tuple[ir.Node, int]]:
    """Who reads the value, through DequantizeLinear and Cast."""
    found = []
    for node, index in value.uses():
        if node.op_type in _VIEWS and index == 0:
            found += _readers(node.outputs[0])
        else:
            found.append((node, index))
    return found


def _parameter(node: ir.Node, index: int) -> bool:
    """Whether an input says how to compute, rather than being computed with."""
    return index > 0 and node.op_type in (*_VIEWS, *_SHAPED)


def _shape(value: ir.Value) -> tuple[int, ...] | None:
    if value.shape is None:
        return None
    shape = tuple(value.shape)
    return tuple(int(dim) for dim in shape) if all(isinstance(dim, int) for dim in shape) else None


def _aligned(count: int, unit: int) -> int:
    return -(-count // unit) * unit
