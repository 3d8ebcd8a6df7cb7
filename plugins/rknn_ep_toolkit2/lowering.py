"""Operators written as others, where the capability tables say "handed to the compiler as ...".

RKNN-Toolkit2 leaves these operators to its CPU side, or fails on them, and runs what they are written as on the NPU (probed
cases `l_*`, docs/capability.md). Definitions: the ONNX operator specification.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep_toolkit2.graphs import (
    DEQUANTIZE,
    Array,
    constant,
    dequantize_of,
    dequantized_constant,
    insert_before,
    new_constant,
    readers,
    replace,
)


def lower(model: ir.Model) -> tuple[str, ...]:
    """Rewrite what must be. Changes `model`.

    Returns:
        "Selu 'name' as Elu, Mul" for each node that was rewritten.
    """
    done = []
    for node in list(model.graph):
        rewrite = _REWRITES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rewrite is None:
            continue
        written = _Written(node)
        result = rewrite(written)
        if result is None:
            continue
        if result is not node.outputs[0]:
            replace(node, result)
        done.append(
            f"{node.op_type} '{written.name}' as {', '.join(written.operators) or 'itself with its attributes written out'}"
        )
    return tuple(done)


class _Written:
    """A node on its way to being written as others: inserts them ahead of it, with names that begin with its output's."""

    def __init__(self, node: ir.Node) -> None:
        assert node.graph is not None
        self.node, self.graph = node, node.graph
        self.name = node.name or node.outputs[0].name or node.op_type
        self.operators: list[str] = []

    @property
    def x(self) -> ir.Value:
        """The first input."""
        return self.input(0)

    def input(self, index: int) -> ir.Value:
        value = self.node.inputs[index]
        assert value is not None
        return value

    def has(self, index: int) -> bool:
        return index < len(self.node.inputs) and self.node.inputs[index] is not None

    def constant(self, index: int) -> Array | None:
        return constant(self.node.inputs[index]) if self.has(index) else None

    def shape(self, value: ir.Value) -> tuple[int, ...]:
        if value.shape is None or not all(isinstance(dim, int) for dim in value.shape):
            raise ValueError(f"{self.name}: the shape of '{value.name}' is not static")
        return tuple(int(dim) for dim in value.shape)

    def op(self, op_type: str, *inputs: ir.Value | float | Array | None, **attributes: Any) -> ir.Value:
        """A node; numbers and arrays become constants."""
        values = [value if isinstance(value, ir.Value) or value is None else self.number(value) for value in inputs]
        self.operators.append(op_type)
        name = f"{self.node.outputs[0].name}_{op_type.lower()}_{len(self.operators)}"
        return insert_before(self.node, op_type, values, name, ir.convenience.convert_attributes(attributes))

    def number(self, value: float | Array) -> ir.Value:
        array = np.asarray(value)
        return new_constant(
            self.graph, f"{self.node.outputs[0].name}_constant", array if array.dtype == np.int64 else array.astype(np.float32)
        )

    def codes(self, array: Array) -> ir.Value:
        """A weight of ones and zeros as int8 codes by channel: 1 is the code 64 of the scale 2^-6, exactly."""
        name, channels = f"{self.node.outputs[0].name}_weight", len(array)
        parts: dict[str, Array] = {
            "": (array * 64).astype(np.int8),
            "_scale": np.full(channels, 2.0**-6, np.float32),
            "_zero": np.zeros(channels, np.int8),
        }
        constants = [new_constant(self.graph, f"{name}{suffix}", part) for suffix, part in parts.items()]
        return insert_before(self.node, DEQUANTIZE, constants, f"{name}_float", [ir.AttrInt64("axis", 0)])

    def float(self, name: str, default: float) -> float:
        attribute = self.node.attributes.get(name)
        return default if attribute is None else float(attribute.as_float())

    def integer(self, name: str, default: int) -> int:
        attribute = self.node.attributes.get(name)
        return default if attribute is None else int(attribute.as_int())

    def integers(self, name: str, default: Sequence[int]) -> list[int]:
        attribute = self.node.attributes.get(name)
        return list(default) if attribute is None else [int(one) for one in attribute.as_ints()]

    def per_channel(self, value: ir.Value, rank: int) -> ir.Value:
        """A vector as it broadcasts over the second of `rank` dimensions."""
        return self.op("Reshape", value, np.asarray([1, -1, *[1] * (rank - 2)], np.int64))


# ------------------------------------------------------------------------------------------ elementwise


def _selu(w: _Written) -> ir.Value:
    alpha = w.float("alpha", 1.67326319217681884765625)
    return w.op("Mul", w.op("Elu", w.x, alpha=alpha), w.float("gamma", 1.05070102214813232421875))


def _celu(w: _Written) -> ir.Value:
    alpha = w.float("alpha", 1.0)
    return w.op("Mul", w.op("Elu", w.op("Div", w.x, alpha), alpha=1.0), alpha)


def _softsign(w: _Written) -> ir.Value:
    return w.op("Div", w.x, w.op("Add", w.op("Abs", w.x), 1.0))


def _mean(w: _Written) -> ir.Value:
    values = [value for value in w.node.inputs if value is not None]
    return w.op("Mul", w.op("Sum", *values), 1.0 / len(values))


def _extremum(w: _Written) -> ir.Value | None:
    """Min and Max with a number are a Clip; another Min goes through Max."""
    values = [value for value in w.node.inputs if value is not None]
    least = w.node.op_type == "Min"
    if len(values) == 2:
        for value, other in (values, values[::-1]):
            number = constant(other) if constant(other) is not None else dequantized_constant(other)
            if number is not None and number.size == 1 and constant(value) is None:
                bound = number.reshape(())
                return w.op("Clip", value, None, bound) if least else w.op("Clip", value, bound)
    if not least:
        return None
    return w.op("Neg", w.op("Max", *[w.op("Neg", value) for value in values]))


def _mish(w: _Written) -> ir.Value:
    return w.op("Mul", w.x, w.op("Tanh", w.op("Softplus", w.x)))


def _shrink(w: _Written) -> ir.Value | None:
    """The soft form: relu(x - lambd) - relu(-x - lambd)."""
    lambd = w.float("lambd", 0.5)
    if w.float("bias", 0.0) != lambd:
        return None
    above = w.op("Relu", w.op("Sub", w.x, lambd))
    return w.op("Sub", above, w.op("Relu", w.op("Sub", w.op("Neg", w.x), lambd)))


def _prelu(w: _Written) -> ir.Value | None:
    """Only with a slope that is computed at run time: relu(x) - slope * relu(-x)."""
    slope = w.input(1)
    producer = slope.producer()
    if constant(slope) is not None or (producer is not None and constant(producer.inputs[0]) is not None):
        return None
    below = w.op("Mul", w.op("Relu", w.op("Neg", w.x)), slope)
    return w.op("Sub", w.op("Relu", w.x), below)


# ------------------------------------------------------------------------------------------ reductions and pooling


def _reduce(w: _Written) -> ir.Value:
    value = w.op("Abs", w.x) if w.node.op_type == "ReduceL1" else w.op("Mul", w.x, w.x)
    keep = w.integer("keepdims", 1)
    # ReduceSum takes its axes as an input from opset 13, the other two from 18.
    axes = w.constant(1) if w.has(1) else w.integers("axes", ())
    if axes is None or not np.asarray(axes).size:
        return w.op("ReduceSum", value, keepdims=keep)
    if (w.graph.opset_imports.get("") or 13) < 13:
        return w.op("ReduceSum", value, keepdims=keep, axes=[int(axis) for axis in axes])
    return w.op("ReduceSum", value, np.asarray(axes, np.int64), keepdims=keep)


def _average_pool(w: _Written) -> ir.Value | None:
    """A mean that leaves the padding out: one that counts it, times a constant plane of window size by values seen.

    Where one axis alone is padded, the plane is a row or a column: of equal ones written out, the compiler dies at int8.
    """
    pads = w.integers("pads", ())
    shape = w.shape(w.x)
    if w.integer("count_include_pad", 0) or w.integer("ceil_mode", 0) or not any(pads) or len(shape) != 4:
        return None
    kernel, strides = w.integers("kernel_shape", ()), w.integers("strides", (1, 1))
    rows, columns = (_seen(shape[2 + axis], kernel[axis], strides[axis], pads[axis], pads[2 + axis]) for axis in (0, 1))
    rows, columns = (axis[:1] if (axis == axis[0]).all() else axis for axis in (rows, columns))
    plane = np.prod(kernel) / (rows[:, None] * columns[None, :])
    mean = w.op("AveragePool", w.x, kernel_shape=kernel, strides=strides, pads=pads, count_include_pad=1)
    return w.op("Mul", mean, plane[None, None])


def _seen(size: int, kernel: int, stride: int, before: int, after: int) -> Array:
    """How many real values each window along one axis holds."""
    starts = np.arange((size + before + after - kernel) // stride + 1) * stride - before
    return np.minimum(starts + kernel, size) - np.maximum(starts, 0)


def _lp_pool(w: _Written) -> ir.Value | None:
    """The Euclidean one: the root of the mean of squares times the window size."""
    if w.integer("p", 2) != 2 or w.integer("ceil_mode", 0) or set(w.integers("dilations", (1,))) != {1}:
        return None
    kernel = w.integers("kernel_shape", ())
    pads = w.integers("pads", (0,) * 2 * len(kernel))
    mean = w.op(
        "AveragePool",
        w.op("Mul", w.x, w.x),
        kernel_shape=kernel,
        strides=w.integers("strides", (1,) * len(kernel)),
        pads=pads,
        count_include_pad=1,
    )
    return w.op("Sqrt", w.op("Mul", mean, float(np.prod(kernel))))


def _space_to_depth(w: _Written) -> ir.Value:
    """A convolution whose kernels each pick one pixel of the block; of codes, in integers: SoCs without float16 take no other."""
    size, channels = w.integer("blocksize", 1), w.shape(w.x)[1]
    weight = np.zeros((size * size * channels, channels, size, size), np.float32)
    for row in range(size):
        for column in range(size):
            for channel in range(channels):
                weight[(row * size + column) * channels + channel, channel, row, column] = 1
    kernels = w.codes(weight) if dequantize_of(w.x) is not None else weight
    return w.op("Conv", w.x, kernels, kernel_shape=[size, size], strides=[size, size])


# ------------------------------------------------------------------------------------------ normalisation


def _batch(w: _Written) -> ir.Value | None:
    """Only where a parameter is computed at run time."""
    if all(w.constant(index) is not None for index in range(1, 5)):
        return None
    rank = len(w.shape(w.x))
    scale, shift, mean, variance = (w.per_channel(w.input(index), rank) for index in range(1, 5))
    deviation = w.op("Sqrt", w.op("Add", variance, w.float("epsilon", 1e-5)))
    return w.op("Add", w.op("Mul", w.op("Div", w.op("Sub", w.x, mean), deviation), scale), shift)


def _instance(w: _Written) -> ir.Value | None:
    """Only where a parameter is computed at run time."""
    if all(w.constant(index) is not None for index in (1, 2)):
        return None
    shape = w.shape(w.x)
    ones, zeros = np.ones(shape[1], np.float32), np.zeros(shape[1], np.float32)
    plain = w.op("InstanceNormalization", w.x, ones, zeros, epsilon=w.float("epsilon", 1e-5))
    scale, shift = (w.per_channel(w.input(index), len(shape)) for index in (1, 2))
    return w.op("Add", w.op("Mul", plain, scale), shift)


def _group(w: _Written) -> ir.Value:
    """As an instance normalisation of the groups. Scale and bias are one a group before opset 21."""
    shape, groups = w.shape(w.x), w.integer("num_groups", 1)
    gathered = w.op("Reshape", w.x, np.asarray([shape[0], groups, -1], np.int64))
    ones, zeros = np.ones(groups, np.float32), np.zeros(groups, np.float32)
    plain = w.op("InstanceNormalization", gathered, ones, zeros, epsilon=w.float("epsilon", 1e-5))
    back = w.op("Reshape", plain, np.asarray(shape, np.int64))
    scale, shift = (_spread(w.constant(index), shape[1], len(shape)) for index in (1, 2))
    return w.op("Add", w.op("Mul", back, scale), shift)


def _spread(values: Array | None, channels: int, rank: int) -> Array:
    """One value a group, or a channel, as it broadcasts over the channels."""
    if values is None:
        raise ValueError("GroupNormalization with a computed scale")
    return np.repeat(values.reshape(-1), channels // values.size).reshape(1, channels, *[1] * (rank - 2))


def _layer(w: _Written) -> ir.Value | None:
    """The compiler wants the attributes axis and epsilon (without them: KeyError)."""
    missing = {name: one for name, one in _LAYER_DEFAULTS.items() if name not in w.node.attributes}
    for name, one in missing.items():
        w.node.attributes[name] = one
    return w.node.outputs[0] if missing else None


def _hard_sigmoid(w: _Written) -> ir.Value | None:
    """Without its attributes the compiler fails when it fuses it into a convolution behind a global average (TypeError)."""
    missing = {"alpha": 0.2, "beta": 0.5}.items()
    for name, one in missing:
        if name not in w.node.attributes:
            w.node.attributes[name] = ir.AttrFloat32(name, one)
    return None


_LAYER_DEFAULTS = {"axis": ir.AttrInt64("axis", -1), "epsilon": ir.AttrFloat32("epsilon", 1e-5)}


def _softmax(w: _Written) -> ir.Value | None:
    """Scores that come straight from a product get a factor that float16 rounds to 1.

    Attention without a scale, softmax(q k^T) v, makes the compiler fail (IndexError in its fusion); with one it is fused, and
    a factor of exactly 1 it drops before.
    """
    scores, result = w.x.producer(), w.node.outputs[0]
    if scores is None or scores.op_type != "MatMul" or any(constant(value) is not None for value in scores.inputs):
        return None
    if not any(reader.op_type == "MatMul" for reader in readers(result)):
        return None
    scaled = w.op("Mul", w.x, float(np.nextafter(np.float32(1), np.float32(2))))
    w.node.replace_input_with(0, scaled)
    scaled.shape = w.x.shape
    w.operators.append("Softmax")
    return result


_REWRITES: dict[str, Callable[[_Written], ir.Value | None]] = {
    "Selu": _selu,
    "Celu": _celu,
    "Softsign": _softsign,
    "Mean": _mean,
    "Min": _extremum,
    "Max": _extremum,
    "Mish": _mish,
    "Shrink": _shrink,
    "PRelu": _prelu,
    "ReduceL1": _reduce,
    "ReduceSumSquare": _reduce,
    "AveragePool": _average_pool,
    "LpPool": _lp_pool,
    "SpaceToDepth": _space_to_depth,
    "BatchNormalization": _batch,
    "InstanceNormalization": _instance,
    "GroupNormalization": _group,
    "HardSigmoid": _hard_sigmoid,
    "LayerNormalization": _layer,
    "Softmax": _softmax,
}
