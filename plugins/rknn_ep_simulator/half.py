"""float16 as the NPU has it: native operators compute in float32 and store float16.

ONNX Runtime's own float16 does not round between operators, so a float partition stays float32 and every value that
leaves a native operator passes through a Cast to float16 and back; what overflows on the board becomes infinite here.
Inside a quantised partition the same holds for what `floating` says computes on float16.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.floating import NativeOperators
from rknn_ep_simulator.graphs import DEQUANTIZE, QUANTIZE, constant, dequantize_of, is_float

KEEPS_VALUES = frozenset(
    {
        *("Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Slice", "Split", "Concat", "Gather", "Expand"),
        *("Tile", "DepthToSpace", "SpaceToDepth", "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "Relu", "Max", "Min"),
        *("Abs", "Neg", "Sign", "Clip", "Where", "Pad", "GatherElements", "GatherND", "Dropout"),
    }
)
"""Operators that give float16 values for float16 values: another rounding would change nothing."""

NARROW = frozenset({ir.DataType.FLOAT16, ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.BOOL})
"""Types whose every value is a float16 number."""

KEEP_FLOAT32 = {"Resize": (1, 2), "Upsample": (1,), "PRelu": (1,), "BatchNormalization": (1, 2, 3, 4)}
"""Float operands that are parameters of the operator, not data of the NPU, or that it holds in float32 (as it does biases)."""


def round_at_borders(model: ir.Model, groups: Sequence[Sequence[str]]) -> int:
    """Put Casts to float16 and back behind every float value that the NPU stores, and round its float constants.

    Args:
        model: float32 where it is float; changed in place.
        groups: for each native operator the names of the values that leave it. A node in no group is its own.

    Returns:
        How many values are rounded.
    """
    return _Rounding(model.graph, groups).run()


class _Rounding:
    def __init__(self, graph: ir.Graph, groups: Sequence[Sequence[str]]) -> None:
        self.graph = graph
        self.parts = NativeOperators(graph, groups)
        self.rounded: set[ir.Value] = set()

    def run(self) -> int:
        self._round_constants()
        count = 0
        for value in [*self.graph.inputs, *(output for node in self.graph for output in node.outputs)]:
            if not is_float(value):
                continue
            if self._holds_float16_already(value):
                self.rounded.add(value)
            elif self._stored(value):
                count += self._cast(value)
        return count

    def _stored(self, value: ir.Value) -> bool:
        producer = value.producer()
        if producer is not None and producer.op_type != DEQUANTIZE:
            return value in self.parts.ends and producer in self.parts.floating
        return any(self.parts.reads_float16(reader, value) for reader, _ in value.uses())

    def _holds_float16_already(self, value: ir.Value) -> bool:
        """Whether every number that `value` can hold is a float16 number."""
        producer = value.producer()
        if producer is None:
            return False
        if producer.op_type == "Cast":
            return producer.inputs[0] is not None and producer.inputs[0].dtype in NARROW
        floats = [operand for operand in producer.inputs if is_float(operand)]
        return producer.op_type in KEEPS_VALUES and all(operand in self.rounded for operand in floats)

    def _cast(self, value: ir.Value) -> int:
        quantized = value.producer() is None or dequantize_of(value) is not None
        uses = [
            (reader, position)
            for reader, position in value.uses()
            if not quantized or (reader.op_type != QUANTIZE and self.parts.reads_float16(reader, value))
        ]
        leaves = value.is_graph_output() and dequantize_of(value) is None and value.producer() is not None
        if not uses and not leaves:
            return 0
        name = value.name or ""
        down = ir.Node("", "Cast", [value], [ir.AttrInt64("to", int(ir.DataType.FLOAT16))], name=f"{name}_to_float16")
        down.outputs[0].name = f"{name}_float16"
        down.outputs[0].dtype, down.outputs[0].shape = ir.DataType.FLOAT16, value.shape
        up = ir.Node("", "Cast", [down.outputs[0]], [ir.AttrInt64("to", int(ir.DataType.FLOAT))], name=f"{name}_from_float16")
        back = up.outputs[0]
        back.name, back.dtype, back.shape = f"{name}_rounded", ir.DataType.FLOAT, value.shape
        producer = value.producer()
        if producer is None:
            first = next(iter(self.graph))
            self.graph.insert_before(first, [down, up])
        else:
            self.graph.insert_after(producer, [down, up])
        for reader, position in uses:
            reader.replace_input_with(position, back)
        if leaves:
            for index, output in enumerate(self.graph.outputs):
                if output is value:
                    self.graph.outputs[index] = back
            value.name, back.name = f"{name}_unrounded", name
        self.rounded.add(back)
        return 1

    def _round_constants(self) -> None:
        """Float constants that float nodes read are float16 in the device's memory."""
        done: dict[ir.Value, ir.Value] = {}
        for node in self.parts.nodes:
            if node not in self.parts.floating:
                continue
            for position, value in enumerate(node.inputs):
                array = constant(value)
                if array is None or value is None or array.dtype != np.float32:
                    continue
                if position in KEEP_FLOAT32.get(node.op_type, ()) or self.parts.is_bias(node, value):
                    continue
                if value not in done:
                    done[value] = self._rounded_constant(value, array)
                    self.rounded.add(done[value])
                node.replace_input_with(position, done[value])

    def _rounded_constant(self, value: ir.Value, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> ir.Value:
        with np.errstate(over="ignore"):
            half = array.astype(np.float16).astype(np.float32)
        if all(reader in self.parts.floating and not self.parts.is_bias(reader, value) for reader, _ in value.uses()):
            value.const_value = ir.tensor(half, name=value.name)
            return value
        name = f"{value.name}_float16"
        copy = ir.val(name, const_value=ir.tensor(half, name=name))
        self.graph.initializers[name] = copy
        return copy
