"""Models that arrive quantised keep their scales: QDQ as it is, QOperator rewritten as QDQ with the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.operators import Role, constant, integer_attribute, role

PAIR = frozenset({"QuantizeLinear", "DequantizeLinear"})
INTEGER_OPERATORS = {
    "QLinearConv": "Conv",
    "QLinearMatMul": "MatMul",
    "QGemm": "Gemm",
    "QLinearAdd": "Add",
    "QLinearMul": "Mul",
    "QLinearConcat": "Concat",
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearSigmoid": "Sigmoid",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSoftmax": "Softmax",
    "QLinearWhere": "Where",
}
"""Operators on codes, and the float operator that each is."""

INTEGERS = (ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.UINT16, ir.DataType.INT16)
Parameters = tuple[ir.Value, ir.Value]
"""(scale, zero point)"""


def holds_quantized_nodes(model: ir.Model) -> bool:
    """Whether any node of the main graph quantises, dequantises or computes on codes."""
    return any(node.op_type in PAIR or node.op_type in INTEGER_OPERATORS for node in model.graph)


def to_qdq(model: ir.Model) -> ir.Model:
    """A copy in which every operator on codes is DequantizeLinear, the float operator, QuantizeLinear, on the same scales.

    Operators that move codes (MaxPool, Reshape, Concat of codes and the like) are wrapped likewise; a model that is QDQ
    already comes back as it is.

    Raises:
        QuantizationError: a node on codes has no float form, such as a channels-last pool.
    """
    copy = model.clone()
    _Rewriter(copy.graph).run()
    return copy


class _Rewriter:
    def __init__(self, graph: ir.Graph) -> None:
        self._graph = graph
        self._parameters: dict[ir.Value, Parameters] = {}
        self._real: dict[tuple[ir.Value, ir.Value, ir.Value, int | None], ir.Value] = {}

    def run(self) -> None:
        for node in list(self._graph):
            if node.op_type in INTEGER_OPERATORS:
                self._operator(node)
            elif node.op_type == "QuantizeLinear":
                self._parameters[node.outputs[0]] = self._pair_of(node)
            elif node.op_type == "DequantizeLinear":
                source = node.inputs[0]
                if source is not None:
                    self._parameters.setdefault(source, self._pair_of(node))
            elif (
                node.inputs
                and node.inputs[0] in self._parameters
                and (role(node) in (Role.FOLLOW, Role.JOIN) or node.op_type == "Pad")
            ):
                self._mover(node)
        unused = [node for node in self._graph if not any(v.uses() or v.is_graph_output() for v in node.outputs)]
        self._graph.remove(unused, safe=True)
        for name in [name for name, value in self._graph.initializers.items() if not value.uses()]:
            if not self._graph.initializers[name].is_graph_output():
                del self._graph.initializers[name]

    def _pair_of(self, node: ir.Node) -> Parameters:
        scale = node.inputs[1]
        assert scale is not None
        zero = node.inputs[2] if len(node.inputs) > 2 else None
        return scale, zero if zero is not None else self._constant(f"{node.outputs[0].name}_no_zero_point", np.uint8(0))

    # ------------------------------------------------------------------ one node

    def _operator(self, node: ir.Node) -> None:
        if integer_attribute(node, "channels_last", 0):
            raise QuantizationError(f"node '{node.name}' ({node.op_type}) works channels last, which has no ONNX float form")
        build: Callable[[ir.Node], tuple[list[ir.Value | None], Parameters | None]] = {
            "QLinearConv": self._conv,
            "QGemm": self._gemm,
            "QLinearConcat": self._concat,
            "QLinearWhere": self._where,
            "QLinearMatMul": self._binary,
            "QLinearAdd": self._binary,
            "QLinearMul": self._binary,
        }.get(node.op_type, self._unary)
        inputs, result = build(node)
        self._replace(node, INTEGER_OPERATORS[node.op_type], inputs, result)

    def _mover(self, node: ir.Node) -> None:
        """Pools, moves and Concat directly on codes: the same scale before and after."""
        first = node.inputs[0]
        assert first is not None
        parameters = self._parameters[first]
        codes = {"Concat": range(len(node.inputs)), "Pad": (0, 2)}.get(node.op_type, (0,))
        inputs = [
            self._dequantized(value, *parameters) if position in codes and value is not None else value
            for position, value in enumerate(node.inputs)
        ]
        self._replace(node, node.op_type, inputs, parameters)

    def _conv(self, node: ir.Node) -> tuple[list[ir.Value | None], Parameters | None]:
        x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, *bias = node.inputs
        assert w_scale is not None
        inputs = [self._dequantized(x, x_scale, x_zero), self._dequantized(w, w_scale, w_zero, 0)]
        if bias and bias[0] is not None:
            inputs.append(self._bias(bias[0], x_scale, w_scale))
        return inputs, _pair(y_scale, y_zero)

    def _gemm(self, node: ir.Node) -> tuple[list[ir.Value | None], Parameters | None]:
        a, a_scale, a_zero, b, b_scale, b_zero, *rest = node.inputs
        rest += [None] * (3 - len(rest))
        axis = 0 if integer_attribute(node, "transB", 0) else 1
        inputs = [self._dequantized(a, a_scale, a_zero), self._dequantized(b, b_scale, b_zero, axis)]
        if rest[0] is not None:
            inputs.append(self._bias(rest[0], a_scale, b_scale))
        return inputs, _pair(rest[1], rest[2]) if rest[1] is not None else None

    def _binary(self, node: ir.Node) -> tuple[list[ir.Value | None], Parameters | None]:
        a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = _padded(node.inputs, 8)
        axis = 1 if node.op_type == "QLinearMatMul" else None
        return [self._dequantized(a, a_scale, a_zero), self._dequantized(b, b_scale, b_zero, axis)], _pair(y_scale, y_zero)

    def _unary(self, node: ir.Node) -> tuple[list[ir.Value | None], Parameters | None]:
        x, x_scale, x_zero, y_scale, y_zero = _padded(node.inputs, 5)
        return [self._dequantized(x, x_scale, x_zero)], _pair(y_scale, y_zero)

    def _concat(self, node: ir.Node) -> tuple[list[ir.Value | None], Parameters | None]:
        y_scale, y_zero, *rest = node.inputs
        inputs = [self._dequantized(*rest[start : start + 3]) for start in range(0, len(rest), 3)]
        return inputs, _pair(y_scale, y_zero)

    def _where(self, node: ir.Node) -> tuple[list[ir.Value | None], Parameters | None]:
        condition, x, x_scale, x_zero, y, y_scale, y_zero, z_scale, z_zero = _padded(node.inputs, 9)
        inputs = [condition, self._dequantized(x, x_scale, x_zero), self._dequantized(y, y_scale, y_zero)]
        return inputs, _pair(z_scale, z_zero)

    # ------------------------------------------------------------------ parts

    def _replace(self, node: ir.Node, op_type: str, inputs: Sequence[ir.Value | None], result: Parameters | None) -> None:
        """Put the float operator and the rounding of its outputs in the node's place, under the outputs' own names."""
        attributes = [item for name, item in node.attributes.items() if name not in ("channels_last", "opset")]
        float_node = ir.Node("", op_type, inputs, attributes, num_outputs=len(node.outputs), name=node.name)
        made = [float_node]
        for before, real in zip(node.outputs, float_node.outputs, strict=True):
            name, shape = before.name, before.shape
            real.shape, real.type = shape, ir.TensorType(ir.DataType.FLOAT)
            after = real
            if result is not None and before.dtype in (*INTEGERS, None):
                after = ir.Value(name=name, shape=shape, type=before.type)
                real.name = f"{name}_unrounded"
                made.append(ir.Node("", "QuantizeLinear", [real, *result], outputs=[after], name=f"{name}_QuantizeLinear"))
                self._parameters[after] = result
            before.name = f"{name}_before"
            after.name = name
            ir.convenience.replace_all_uses_with(before, after, replace_graph_outputs=True)
        self._graph.insert_after(node, made)
        self._graph.remove(node, safe=True)

    def _dequantized(
        self, value: ir.Value | None, scale: ir.Value | None, zero: ir.Value | None, channel_axis: int | None = None
    ) -> ir.Value:
        assert value is not None and scale is not None
        pair = _pair(scale, zero)
        scale_array = constant(scale)
        axis = channel_axis if scale_array is not None and scale_array.size > 1 else None
        key = (value, pair[0], pair[1], axis)
        if key not in self._real:
            name = f"{value.name}_dequantized"
            if any(known.name == name for known in self._real.values()):
                name = f"{name}_{len(self._real)}"
            real = ir.Value(name=name, shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))
            attributes = [ir.AttrInt64("axis", axis)] if axis is not None else []
            node = ir.Node("", "DequantizeLinear", [value, *pair], attributes, outputs=[real], name=f"{name}_node")
            producer = value.producer()
            if producer is None:
                self._graph.insert_before(next(iter(self._graph)), node)
            else:
                self._graph.insert_after(producer, node)
            self._real[key] = real
        return self._real[key]

    def _bias(self, bias: ir.Value, input_scale: ir.Value | None, weight_scale: ir.Value | None) -> ir.Value:
        """An int32 bias, whose scale QOperator models leave unsaid: input scale * weight scale."""
        first, second = constant(input_scale), constant(weight_scale)
        if first is None or second is None:
            raise QuantizationError(f"the scale of bias '{bias.name}' is computed at run time")
        scale = (np.asarray(first, np.float32) * np.asarray(second, np.float32)).reshape(np.shape(second))
        scale_value = self._constant(f"{bias.name}_scale", scale)
        zero_value = self._constant(f"{bias.name}_zero_point", np.zeros(scale.shape, np.int32))
        return self._dequantized(bias, scale_value, zero_value, 0)

    def _constant(self, name: str, array: object) -> ir.Value:
        unique = name if name not in self._graph.initializers else f"{name}_{len(self._graph.initializers)}"
        value = ir.val(unique, const_value=ir.tensor(np.asarray(array), name=unique))
        self._graph.initializers[unique] = value
        return value


def _pair(scale: ir.Value | None, zero: ir.Value | None) -> Parameters:
    if scale is None or zero is None:
        raise QuantizationError("an operator on codes lacks a scale or zero point")
    return scale, zero


def _padded(values: Sequence[ir.Value | None], length: int) -> list[ir.Value | None]:
    return [*values, *[None] * (length - len(values))][:length]
