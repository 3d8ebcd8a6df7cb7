"""Write QuantizeLinear and DequantizeLinear into a float model.

The result is an ordinary ONNX model: 8-bit activations are uint8 (the vendor's int8 codes plus 128: ONNX Runtime has
fast kernels for them, the vendor compiler takes both), weights int8, biases int32 at input scale * weight scale.
16-bit models use int16 codes and the com.microsoft operators, because the standard ones take int16 from opset 21 only
and the vendor compiler stops at 19.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.affine import Range, dequantize, parameters
from rknn_ep.quantization.affine import quantize as to_codes
from rknn_ep.quantization.borders import off_borders
from rknn_ep.quantization.correction import correction
from rknn_ep.quantization.operators import CLAMPS, WEIGHTED, constant, data_inputs, float_attribute, integer_attribute
from rknn_ep.quantization.pads import fold_pads
from rknn_ep.quantization.placement import Placement, place
from rknn_ep.quantization.scales import Scales, assign, exact_top
from rknn_ep.quantization.weights import SMALLEST_SHARE, least_weight_scales, quantize_bias, quantize_weight, requantize
from rknn_ep.records import QuantizationType

Array = np.ndarray[Any, Any]
SMALLEST_OPSET = 13
"""DequantizeLinear has an axis from here on."""


@dataclass(frozen=True)
class Scheme:
    """How values are stored."""

    activations: QuantizationType
    weights: QuantizationType
    per_channel: bool = True
    weight_method: str = "mmse"
    everything: bool = False
    """Nothing may stay float: for SoCs without float16."""
    smallest_share: float = SMALLEST_SHARE
    """Of the largest scale of a weight's channels, below which no other's is."""

    @property
    def wide(self) -> bool:
        """16 bits."""
        return self.activations.bits == 16

    @property
    def offset(self) -> int:
        """What is added to signed activation codes for storage: 128 for uint8."""
        return 0 if self.wide else 128

    @property
    def domain(self) -> str:
        """Where QuantizeLinear and DequantizeLinear come from."""
        return "com.microsoft" if self.wide else ""


@dataclass(frozen=True)
class QuantizedModel:
    """A QDQ model and what there is to say about it."""

    model: ir.Model
    notes: Mapping[str, Any] = field(default_factory=dict)
    """JSON-like: precision, counts of tensors and weights, warnings."""


def scheme_for(precision: str, per_channel: bool = True, weight_method: str = "mmse") -> Scheme:
    """The scheme of a precision: int8 is asymmetric uint8 activations and symmetric int8 weights, int16 is symmetric throughout.

    Raises:
        QuantizationError: the precision is not an integer one.
    """
    if precision == "int8":
        return Scheme(QuantizationType(8), QuantizationType(8, symmetric=True), per_channel, weight_method)
    if precision == "int16":
        wide = QuantizationType(16, symmetric=True)
        return Scheme(wide, wide, per_channel, weight_method)
    raise QuantizationError(f"precision '{precision}' needs no quantisation; int8 and int16 do")


def tensors_to_observe(
    model: ir.Model, groups: Sequence[Sequence[str]] = (), everything: bool = False
) -> tuple[tuple[str, ...], dict[str, Range]]:
    """What `calibrate` must look at: (names, bounds outside which values do not matter)."""
    placement = place(model, groups, everything)
    return placement.observed(), placement.bounds


def quantize(
    model: ir.Model,
    ranges: Mapping[str, Range],
    *,
    precision: str = "int8",
    per_channel: bool = True,
    groups: Sequence[Sequence[str]] = (),
    weight_method: str = "mmse",
    scheme: Scheme | None = None,
    means: Mapping[str, Array] | None = None,
) -> QuantizedModel:
    """Quantise a float model with known ranges. The model given is left as it is.

    Args:
        model: a float model with types and static shapes, opset 13 or later.
        ranges: clipping range of every tensor that `tensors_to_observe` names.
        precision: int8 or int16.
        per_channel: one weight scale per output channel, or one per layer.
        groups: for each native operator the names of the values that leave it.
        weight_method: `minmax` or `mmse`.
        scheme: overrides precision, per_channel and weight_method.
        means: channel means of the inputs of convolutions and Gemms; with them, biases are corrected.

    Raises:
        QuantizationError: a tensor has no range, a weight is not finite, the opset is too old.
    """
    scheme = scheme or scheme_for(precision, per_channel, weight_method)
    opset = model.graph.opset_imports.get("", 0)
    if opset < SMALLEST_OPSET:
        raise QuantizationError(
            f"the model has opset {opset}; quantisation per channel needs {SMALLEST_OPSET}", remedy="Normalise the model first."
        )
    copy = model.clone()
    fold_pads(copy)
    placement = place(copy, groups, scheme.everything)
    scales = assign(copy, placement, ranges, scheme.activations)
    writer = _Writer(copy, placement, scales, scheme, means or {})
    writer.run()
    if scheme.wide or scheme.weights.bits == 16:
        copy.graph.opset_imports.setdefault("com.microsoft", 1)
    return QuantizedModel(copy, writer.notes())


class _Writer:
    """One quantisation of one model, in place."""

    def __init__(self, model: ir.Model, placement: Placement, scales: Scales, scheme: Scheme, means: Mapping[str, Array]) -> None:
        self._model, self._graph = model, model.graph
        self._means = means
        self._corrected_biases = 0
        self._biased: set[ir.Node] = set()
        """Nodes that are the bias of a MatMul before them."""
        self._scheme = scheme
        self._scales = scales
        self._integer = placement.integer - scales.float_nodes
        self._scaled = placement.scaled
        self._parameters: dict[str, tuple[np.float32, int]] = {}
        self._constants: dict[tuple[Any, ...], ir.Value] = {}
        self._shared = {name for name, value in self._graph.initializers.items() if len(value.uses()) > 1}
        """Constants that are written once for all of their readers."""
        self._weights = 0
        self._widened_biases = 0

    def run(self) -> None:
        """Constants first: their names and the graph's are still the model's own."""
        nodes = [node for node in self._graph if node.outputs[0].name in self._integer]
        for node in nodes:
            if node.op_type in WEIGHTED:
                self._weighted(node)
            elif node not in self._biased:
                for position in data_inputs(node):
                    self._constant_input(node, position)
        values = {value.name: value for value in self._graph.inputs}
        values |= {value.name: value for node in self._graph for value in node.outputs}
        for name in self._scaled:
            self._round(values[name])
        self._drop_unused()

    def notes(self) -> dict[str, Any]:
        """What the report says."""
        return {
            "activation_bits": self._scheme.activations.bits,
            "weights_per_channel": self._scheme.per_channel,
            "weight_method": self._scheme.weight_method,
            "quantized_tensors": len(self._scaled),
            "quantized_weights": self._weights,
            "quantized_nodes": len(self._integer),
            "widened_biases": self._widened_biases,
            "corrected_biases": self._corrected_biases,
            "warnings": list(self._scales.notes),
        }

    # ------------------------------------------------------------------ activations

    def _round(self, value: ir.Value) -> None:
        """Put a QuantizeLinear and DequantizeLinear pair behind `value`."""
        name = value.name or ""
        scale, zero_point = self._scales.of[name]
        producer = value.producer()
        made = producer is not None and producer.outputs[0].name in self._integer
        uses = [
            (reader, position)
            for reader, position in value.uses()
            if made or (reader.outputs[0].name in self._integer and position in data_inputs(reader))
        ]
        leaves = made and value.is_graph_output()
        if not uses and not leaves:
            return
        code_type = ir.DataType.INT16 if self._scheme.wide else ir.DataType.UINT8
        scale_value = self._initializer(f"{name}_scale", np.asarray(scale, np.float32))
        zero_value = self._initializer(f"{name}_zero_point", np.asarray(zero_point + self._scheme.offset, code_type.numpy()))
        codes = ir.Value(name=f"{name}_quantized", shape=value.shape, type=ir.TensorType(code_type))
        real = ir.Value(name=f"{name}_dequantized", shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))
        domain = self._scheme.domain
        down = ir.Node(domain, "QuantizeLinear", [value, scale_value, zero_value], outputs=[codes], name=f"{name}_QuantizeLinear")
        up = ir.Node(
            domain, "DequantizeLinear", [codes, scale_value, zero_value], outputs=[real], name=f"{name}_DequantizeLinear"
        )
        if producer is None:
            first = next(iter(self._graph))
            self._graph.insert_before(first, [down, up])
        else:
            self._graph.insert_after(producer, [down, up])
        for reader, position in uses:
            reader.replace_input_with(position, real)
        if leaves:
            for index, output in enumerate(self._graph.outputs):
                if output is value:
                    self._graph.outputs[index] = real
            value.name, real.name = f"{name}_unrounded", name

    # ------------------------------------------------------------------ constants

    def _weighted(self, node: ir.Node) -> None:
        """Weights and bias of Conv, ConvTranspose, Gemm and MatMul."""
        self._fold_gemm_factors(node)
        source, weight_value = node.inputs[0], node.inputs[1]
        weight = constant(weight_value)
        if weight is None:
            self._constant_input(node, 0)
            self._bias(node, np.asarray(self._scale_of(weight_value), np.float32), None)
            return
        assert weight_value is not None
        axis = _channel_axis(node, weight) if self._scheme.per_channel else None
        grid = self._scheme.weights
        codes, scales, zeros = quantize_weight(weight, axis, grid, self._scheme.weight_method, self._scheme.smallest_share)
        shared = weight_value.name in self._shared
        if not shared:
            scales = self._off_borders(node, scales)
            codes = requantize(weight, axis, scales, zeros, grid)
        self._correct_bias(node, weight, _meant(codes, scales, zeros, axis))
        bias = self._bias_array(node)
        input_scale = self._scale_of(source)
        if bias is not None and not self._scheme.wide:
            groups = integer_attribute(node, "group", 1) if node.op_type == "ConvTranspose" else 1
            per_scale = bias if axis is None or groups == 1 else np.abs(bias.reshape(groups, -1)).max(axis=0)
            enlarged = least_weight_scales(per_scale, input_scale, scales)
            if not np.array_equal(enlarged, scales):
                scales = enlarged if shared else self._off_borders(node, enlarged)
                codes = requantize(weight, axis, scales, zeros, grid)
        code_type = ir.DataType.INT16 if grid.bits == 16 else ir.DataType.INT8
        real = self._dequantized(weight_value, codes.astype(code_type.numpy()), scales, zeros.astype(code_type.numpy()), axis)
        node.replace_input_with(1, real)
        self._weights += 1
        self._bias(node, scales, axis)

    def _off_borders(self, node: ir.Node, scales: Array) -> Array:
        """Weight scales on which every implementation rounds the node's sums alike."""
        made = self._rounded_to(node)
        if made is None or self._scheme.wide:
            return scales
        moved = off_borders(scales, float(self._scale_of(node.inputs[0])), float(made))
        return np.asarray(np.maximum(moved, moved.max(initial=0.0) * np.float32(self._scheme.smallest_share)))

    def _rounded_to(self, node: ir.Node) -> np.float32 | None:
        """The scale of the tensor to which a node's sums are rounded, behind its bias and clamp; None where they are not."""
        holder, _ = self._bias_place(node)
        value = (holder or node).outputs[0]
        while value.name not in self._scales.of:
            readers = [reader for reader, _ in value.uses()]
            if len(readers) != 1 or readers[0].op_type not in CLAMPS:
                return None
            value = readers[0].outputs[0]
        return self._scales.of[value.name][0]

    def _correct_bias(self, node: ir.Node, weight: Array, rounded: Array) -> None:
        """Let the bias, made where there is none, take back what rounding the weight shifts on average."""
        shift = correction(node, weight, rounded, self._means)
        holder, position = self._bias_place(node)
        if shift is None or holder is None:
            return
        bias = self._bias_array(node)
        if bias is None and position < len(holder.inputs) and holder.inputs[position] is not None:
            return
        corrected = (shift if bias is None else bias + shift).astype(np.float32)
        if len(holder.inputs) <= position:
            holder.resize_inputs(position + 1)
        holder.replace_input_with(position, self._initializer(f"{node.outputs[0].name}_corrected_bias", corrected))
        self._corrected_biases += 1

    def _bias_place(self, node: ir.Node) -> tuple[ir.Node | None, int]:
        """(node, input) where the bias of a weighted node is: its own, or that of the Add behind a MatMul."""
        if node.op_type != "MatMul":
            return node, 2
        readers = [reader for reader, _ in node.outputs[0].uses()]
        if node.outputs[0].name in self._scales.of or len(readers) != 1 or readers[0].outputs[0].name not in self._integer:
            return None, 0
        return readers[0], 1 - readers[0].inputs.index(node.outputs[0])

    def _bias_array(self, node: ir.Node) -> Array | None:
        holder, position = self._bias_place(node)
        if holder is None or len(holder.inputs) <= position or holder.inputs[position] is None:
            return None
        bias = constant(holder.inputs[position])
        channels = _channels(node)
        if bias is None or bias.size != max(bias.shape, default=1) or (channels is not None and bias.size != channels):
            return None
        return bias.reshape(-1).astype(np.float32)

    def _bias(self, node: ir.Node, weight_scales: Array, axis: int | None) -> None:
        bias = self._bias_array(node)
        holder, position = self._bias_place(node)
        if bias is None or holder is None:
            return
        if axis is not None and weight_scales.size != bias.size:
            weight_scales = np.tile(weight_scales, bias.size // weight_scales.size)
        if self._scheme.wide:
            # A 16 by 16 bit product has steps so fine that a bias seldom fits into 32 bits at its scale: such a bias gets
            # a wider scale of its own. Left float, ONNX Runtime 1.32 would write it at the product's scale and cut it off.
            enlarged = least_weight_scales(bias, self._scale_of(node.inputs[0]), weight_scales)
            self._widened_biases += int(np.any(enlarged > weight_scales))
            weight_scales = enlarged
        codes, scales = quantize_bias(bias, self._scale_of(node.inputs[0]), weight_scales)
        value = holder.inputs[position]
        assert value is not None
        zeros = np.zeros(scales.shape, np.int32)
        real = self._dequantized(value, codes, scales, zeros, 0 if scales.ndim else None)
        holder.replace_input_with(position, real)
        self._biased.add(holder)

    def _constant_input(self, node: ir.Node, position: int) -> None:
        """A constant operand of an elementwise operator or Concat: one scale, on the activations' grid."""
        value = node.inputs[position] if position < len(node.inputs) else None
        array = constant(value)
        if array is None or value is None or array.dtype != np.float32:
            return
        grid = self._scheme.activations
        limits = Range(float(array.min(initial=0.0)), float(array.max(initial=0.0)))
        scale, zero_point = exact_top(parameters(limits, grid), limits, grid)
        code_type = ir.DataType.INT16 if self._scheme.wide else ir.DataType.UINT8
        codes = (to_codes(array, scale, zero_point, grid) + self._scheme.offset).astype(code_type.numpy())
        zero = np.asarray(zero_point + self._scheme.offset, code_type.numpy())
        real = self._dequantized(value, codes, np.asarray(scale), zero, None)
        self._parameters[real.name or ""] = (scale, zero_point)
        node.replace_input_with(position, real)

    def _scale_of(self, value: ir.Value | None) -> np.float32:
        assert value is not None
        name = value.name or ""
        return (self._scales.of.get(name) or self._parameters[name])[0]

    def _fold_gemm_factors(self, node: ir.Node) -> None:
        """Move alpha and beta of a Gemm into its constants, so that the bias is on the grid of the sum."""
        if node.op_type != "Gemm":
            return
        for name, position in (("alpha", 1), ("beta", 2)):
            factor = float_attribute(node, name, 1.0)
            array = constant(node.inputs[position]) if len(node.inputs) > position else None
            value = node.inputs[position] if len(node.inputs) > position else None
            if factor != 1.0 and array is not None and value is not None:
                scaled = self._initializer(f"{value.name}_times_{name}", (array * np.float32(factor)).astype(np.float32))
                node.replace_input_with(position, scaled)
                node.attributes.pop(name)

    def _dequantized(self, value: ir.Value, codes: Array, scales: Array, zeros: Array, axis: int | None) -> ir.Value:
        """A constant as integer codes behind a DequantizeLinear; the same constant on the same scales is written once."""
        key = (value.name, scales.tobytes(), zeros.tobytes(), axis)
        if key in self._constants:
            return self._constants[key]
        count = sum(1 for known in self._constants if known[0] == value.name)
        name = f"{value.name}_{count}" if count else f"{value.name}"
        parts = [
            self._initializer(f"{name}_quantized", codes),
            self._initializer(f"{name}_scale", scales.astype(np.float32)),
            self._initializer(f"{name}_zero_point", zeros),
        ]
        real = ir.Value(name=f"{name}_dequantized", shape=value.shape, type=ir.TensorType(ir.DataType.FLOAT))
        attributes = [ir.AttrInt64("axis", axis)] if axis is not None else []
        domain = "com.microsoft" if codes.dtype == np.int16 else ""
        node = ir.Node(domain, "DequantizeLinear", parts, attributes, outputs=[real], name=f"{name}_DequantizeLinear")
        self._graph.insert_before(next(iter(self._graph)), node)
        self._constants[key] = real
        return real

    def _initializer(self, name: str, array: Array) -> ir.Value:
        unique, number = name, 1
        while unique in self._graph.initializers:
            number += 1
            unique = f"{name}_{number}"
        value = ir.val(unique, const_value=ir.tensor(np.ascontiguousarray(array).reshape(array.shape), name=unique))
        self._graph.initializers[unique] = value
        return value

    def _drop_unused(self) -> None:
        outputs = {value.name for value in self._graph.outputs}
        for name in [name for name, value in self._graph.initializers.items() if not value.uses() and name not in outputs]:
            del self._graph.initializers[name]


def _meant(codes: Array, scales: Array, zeros: Array, axis: int | None) -> Array:
    """The real values that a weight's codes stand for."""
    if axis is not None:
        shape = [-1 if index == axis else 1 for index in range(codes.ndim)]
        scales, zeros = scales.reshape(shape), zeros.reshape(shape)
    return dequantize(codes, scales, zeros)


def _channels(node: ir.Node) -> int | None:
    """How many output channels a weighted node has, where its weight tells."""
    weight = constant(node.inputs[1])
    axis = _channel_axis(node, weight) if weight is not None else None
    if weight is None or axis is None:
        return None
    groups = integer_attribute(node, "group", 1) if node.op_type == "ConvTranspose" else 1
    return int(weight.shape[axis]) * groups


def _channel_axis(node: ir.Node, weight: Array) -> int | None:
    """The axis of a weight along which output channels lie."""
    if node.op_type == "ConvTranspose":
        return 1
    if node.op_type == "Gemm":
        return 0 if integer_attribute(node, "transB", 0) else 1
    if node.op_type == "MatMul":
        # A batch of matrices has no single output channel axis in ONNX Runtime's kernel; a matrix has its last.
        return 1 if weight.ndim == 2 else None
    return 0
