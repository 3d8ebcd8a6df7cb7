"""Constants added or multiplied per channel go into the convolution behind them, as far as its padding allows.

Networks such as PP-LCNet scale and shift after every activation. On an integer NPU each of these nodes costs a pass over
the tensor and one more rounding; in the next convolution's weight and bias they cost nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.graph.affine import Affine, affine_of
from rknn_ep.graph.passes.base import GraphPass, demand, done
from rknn_ep.graph.values import add_constant, constant, is_onnx, static_shape

Array = np.ndarray[Any, Any]


class FoldAffineAhead(GraphPass):
    """Fold per-channel affine nodes in front of a Conv into its weight and bias.

    A convolution without padding takes scale and shift. With padding it takes the scale alone, because the zeros of the
    padding are not shifted: conv(a x + b) = (a conv)(x + b / a), and one Add stays.
    """

    def requires(self, model: ir.Model) -> None:
        """Patterns with constants inside, such as HardSwish, were recognised before this takes their constants away."""
        for node in model.graph:
            demand(not is_onnx(node, "Constant") or "sparse_value" in node.attributes, "Constant nodes come first")

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Fold in topological order; a chain of affine nodes is gathered from its end."""
        changes = 0
        for node in list(model.graph):
            if is_onnx(node, "Conv"):
                changes += self._fold(model.graph, node)
        return done(model, changes)

    def _fold(self, graph: ir.Graph, conv: ir.Node) -> bool:
        chain = self._chain(conv)
        weight = constant(conv.inputs[1])
        bias_value = conv.inputs[2] if len(conv.inputs) > 2 else None
        bias = constant(bias_value)
        if not chain or weight is None or (bias_value is not None and bias is None):
            return False
        source, scale, shift = _together(chain)
        padded = _is_padded(conv)
        if np.any(scale == 0) or (padded and len(chain) == 1 and np.all(scale == 1)):
            return False
        new_weight = _scaled(conv, weight, scale)
        new_bias = np.asarray(
            (0.0 if bias is None else bias.astype(np.float64)) + (0.0 if padded else _shifted(conv, weight, shift))
        )
        name = conv.outputs[0].name
        if not (_fits(new_weight, weight) and _fits(new_bias, weight)):
            return False
        if padded and np.any(shift != 0):
            source = self._shift_before(graph, conv, source, shift / scale)
        conv.replace_input_with(0, source)
        conv.replace_input_with(1, add_constant(graph, self.provenance.fresh(f"{name}_weight"), new_weight.astype(weight.dtype)))
        if not padded:
            if len(conv.inputs) < 3:
                conv.resize_inputs(3)
            full = np.broadcast_to(new_bias, weight.shape[:1]).astype(weight.dtype)
            conv.replace_input_with(2, add_constant(graph, self.provenance.fresh(f"{name}_bias"), full))
        for _, node in chain:
            graph.remove(node, safe=True)
        return True

    def _chain(self, conv: ir.Node) -> list[tuple[Affine, ir.Node]]:
        """The affine nodes that lead only to this convolution, the nearest first."""
        chain: list[tuple[Affine, ir.Node]] = []
        reader, value = conv, conv.inputs[0]
        while value is not None and (node := value.producer()) is not None and node.graph is conv.graph:
            affine = affine_of(node)
            if affine is None or is_onnx(node, "BatchNormalization") or not self.provenance.vanishes(value, reader):
                break
            chain.append((affine, node))
            reader, value = node, affine.source
        return chain

    def _shift_before(self, graph: ir.Graph, conv: ir.Node, source: ir.Value, shift: Array) -> ir.Value:
        """An Add in front of the convolution; its value is new, so the trace of origins binds it to the convolution."""
        name = self.provenance.fresh(f"{conv.outputs[0].name}_shifted")
        shape = static_shape(source) or ()
        tail = (1,) * (len(shape) - 2) if shift.size > 1 else ()
        assert source.dtype is not None
        amount = add_constant(graph, self.provenance.fresh(f"{name}_by"), shift.astype(source.dtype.numpy()).reshape(-1, *tail))
        output = ir.Value(name=name, shape=source.shape, type=source.type)
        graph.insert_before(conv, ir.Node("", "Add", [source, amount], outputs=[output], name=name))
        return output


def _together(chain: list[tuple[Affine, ir.Node]]) -> tuple[ir.Value, Array, Array]:
    """The chain as one affine map: (its input, scale, shift)."""
    scale, shift = np.ones(1), np.zeros(1)
    for affine, _ in chain:
        shift = shift + scale * affine.shift
        scale = scale * affine.scale
    return chain[-1][0].source, scale, shift


def _is_padded(conv: ir.Node) -> bool:
    return any(conv.attributes.get_ints("pads", ()))


def _scaled(conv: ir.Node, weight: Array, scale: Array) -> Array:
    """The weight (M, C/group, ...) times the scale of each input channel."""
    by_output = _per_group(conv, weight, scale)
    return weight.astype(np.float64) * by_output.reshape(*by_output.shape, *(1,) * (weight.ndim - 2))


def _shifted(conv: ir.Node, weight: Array, shift: Array) -> Array:
    """What the shift of each input channel adds to each output channel."""
    taps = weight.astype(np.float64).sum(axis=tuple(range(2, weight.ndim)))
    return np.asarray((taps * _per_group(conv, weight, shift)).sum(axis=1))


def _per_group(conv: ir.Node, weight: Array, values: Array) -> Array:
    """Values by input channel as (M, C/group): which one each output channel sees."""
    group = conv.attributes.get_int("group", 1)
    rows = np.broadcast_to(values, group * weight.shape[1]).reshape(group, 1, weight.shape[1])
    return np.broadcast_to(rows, (group, weight.shape[0] // group, weight.shape[1])).reshape(weight.shape[0], weight.shape[1])


def _fits(array: Array, like: Array) -> bool:
    """Whether the numbers are finite in the weight's own type."""
    with np.errstate(over="ignore"):
        return bool(np.isfinite(np.asarray(array).astype(like.dtype).astype(np.float64)).all())
