"""float16 as the NPU has it: native operators compute in float32 and store float16.

ONNX Runtime's own float16 does not round between operators, so a float partition stays float32 and every value that
leaves a native operator passes through a Cast to float16 and back; what overflows on the board becomes infinite here.
Inside a quantised partition the same holds for the islands that stay float (softmax, for one).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.graphs import DEQUANTIZE, MULTIPLIERS, QUANTIZE, constant, dequantize_of, is_float

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

NOT_TENSORS = {"Resize": (1, 2), "Upsample": (1,)}
"""Float operands that are parameters of the operator, not data of the NPU."""


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
        self.nodes = [node for node in graph if node.op_type not in (QUANTIZE, DEQUANTIZE)]
        self.ends = self._ends(groups)
        self.floating = self._float_nodes()
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

    def _ends(self, groups: Sequence[Sequence[str]]) -> set[ir.Value]:
        """Values that leave a native operator."""
        names = {name for group in groups for name in group}
        inside = self._inside(names)
        return {output for node in self.nodes for output in node.outputs if output.name in names or node not in inside}

    def _inside(self, names: set[str]) -> set[ir.Node]:
        """Nodes that belong to a group: those a group's end is made from, up to the ends of others."""
        inside: set[ir.Node] = set()
        waiting = [node for node in self.graph for output in node.outputs if output.name in names]
        while waiting:
            node = waiting.pop()
            if node in inside:
                continue
            inside.add(node)
            for value in node.inputs:
                producer = value.producer() if value is not None else None
                if producer is not None and value is not None and value.name not in names:
                    waiting.append(producer)
        return inside

    def _float_nodes(self) -> set[ir.Node]:
        """Nodes of native operators that do not end in a QuantizeLinear: these read and write float16."""
        floating: set[ir.Node] = set()
        for node in reversed(self.nodes):
            for output in node.outputs:
                readers = [reader for reader, _ in output.uses()]
                if output in self.ends:
                    stores = output.is_graph_output() or any(reader.op_type != QUANTIZE for reader in readers)
                else:
                    stores = any(reader in floating for reader in readers)
                if stores:
                    floating.add(node)
        return floating

    def _reads_float16(self, node: ir.Node, value: ir.Value) -> bool:
        """Whether `node` reads `value` as float16; an integer product reads codes even where its result stays float."""
        if node not in self.floating:
            return False
        operands = node.inputs[:2]
        return not (dequantize_of(value) and node.op_type in MULTIPLIERS and all(dequantize_of(operand) for operand in operands))

    def _stored(self, value: ir.Value) -> bool:
        producer = value.producer()
        if producer is not None and producer.op_type != DEQUANTIZE:
            return value in self.ends and producer in self.floating
        if producer is not None and constant(producer.inputs[0]) is not None:
            return False
        return any(self._reads_float16(reader, value) for reader, _ in value.uses())

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
            if reader.op_type != QUANTIZE and (not quantized or self._reads_float16(reader, value))
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
        for node in self.nodes:
            if node not in self.floating:
                continue
            for position, value in enumerate(node.inputs):
                array = constant(value)
                if array is None or value is None or array.dtype != np.float32 or position in NOT_TENSORS.get(node.op_type, ()):
                    continue
                if value not in done:
                    done[value] = self._rounded_constant(value, array)
                    self.rounded.add(done[value])
                node.replace_input_with(position, done[value])

    def _rounded_constant(self, value: ir.Value, array: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> ir.Value:
        with np.errstate(over="ignore"):
            half = array.astype(np.float16).astype(np.float32)
        if all(reader in self.floating for reader, _ in value.uses()):
            value.const_value = ir.tensor(half, name=value.name)
            return value
        name = f"{value.name}_float16"
        copy = ir.val(name, const_value=ir.tensor(half, name=name))
        self.graph.initializers[name] = copy
        return copy
