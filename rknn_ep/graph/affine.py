"""y = a * x + b with one a and b per channel: how nodes say it, and how a convolution takes it in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.graph.values import constant, is_constant, is_onnx, static_shape

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Affine:
    """y = scale * x + shift, both float64 of shape (1,) or (channels,); channels are axis 1."""

    source: ir.Value
    scale: Array
    shift: Array


def affine_of(node: ir.Node) -> Affine | None:  # noqa: PLR0911 - one answer an operator
    """Read a BatchNormalization (inference), or an Add, Sub, Mul or Div with a constant per channel, as an affine map."""
    if is_onnx(node, "BatchNormalization"):
        return _batch_normalization(node)
    if not is_onnx(node, "Add", "Sub", "Mul", "Div"):
        return None
    left, right = node.inputs
    if left is None or right is None or is_constant(left) == is_constant(right):
        return None
    swapped = is_constant(left)
    source, other = (right, left) if swapped else (left, right)
    if swapped and node.op_type in ("Sub", "Div"):
        return None
    factor = _per_channel(other, static_shape(source))
    if factor is None or static_shape(node.outputs[0]) != static_shape(source):
        return None
    zero, one = np.zeros(1), np.ones(1)
    match node.op_type:
        case "Add":
            return Affine(source, one, factor)
        case "Sub":
            return Affine(source, one, -factor)
        case "Mul":
            return Affine(source, factor, zero)
    return Affine(source, 1.0 / factor, zero) if np.all(factor != 0) else None


def _batch_normalization(node: ir.Node) -> Affine | None:
    training = node.attributes.get_int("training_mode", 0) or not node.attributes.get_int("spatial", 1)
    if training or node.inputs[0] is None or any(value.uses() for value in node.outputs[1:]):
        return None
    parameters = [constant(value) for value in node.inputs[1:5]]
    if len(parameters) != 4 or any(one is None for one in parameters):
        return None
    gamma, beta, mean, variance = (np.asarray(one, dtype=np.float64) for one in parameters)
    scale = gamma / np.sqrt(variance + node.attributes.get_float("epsilon", 1e-5))
    return Affine(node.inputs[0], scale, beta - mean * scale)


def _per_channel(value: ir.Value, shape: tuple[int, ...] | None) -> Array | None:
    """A constant's values by channel (axis 1) when that is all it varies over."""
    if shape is None or len(shape) < 2 or value.dtype is None or not value.dtype.is_floating_point():
        return None
    own = static_shape(value)
    if own is None or len(own) > len(shape):
        return None
    padded = (1,) * (len(shape) - len(own)) + own
    if any(size != 1 for axis, size in enumerate(padded) if axis != 1) or padded[1] not in (1, shape[1]):
        return None
    array = constant(value)
    return None if array is None else np.asarray(array, dtype=np.float64).reshape(-1)


@dataclass(frozen=True)
class Absorbed:
    """New weight and bias of a Conv, ConvTranspose or Gemm, in the dtype of the old weight."""

    weight: Array | None
    """None: as it was."""
    bias: Array


def absorb(node: ir.Node, affine: Affine) -> Absorbed | None:
    """The parameters with which `node` computes scale * node(x) + shift; None when they are not constant or not finite.

    Conv weights are (M, C/group, ...), ConvTranspose's (C, M/group, ...), Gemm's (K, M) or (M, K) with transB.
    """
    weight = constant(node.inputs[1])
    bias_value = node.inputs[2] if len(node.inputs) > 2 else None
    bias = constant(bias_value)
    if weight is None or (bias_value is not None and bias is None):
        return None
    channels = _channels(node, weight)
    # An overflow in the weight's own type shows as infinity, and is refused below.
    scale, shift = np.broadcast_to(affine.scale, channels), np.broadcast_to(affine.shift, channels)
    beta = node.attributes.get_float("beta", 1.0) if node.op_type == "Gemm" else 1.0
    if beta == 0.0:
        return None
    with np.errstate(over="ignore"):
        scaled = None if np.all(scale == 1) else (weight * _spread(node, weight, scale)).astype(weight.dtype)
        new_bias = ((0.0 if bias is None else bias.astype(np.float64) * scale) + shift / beta).astype(weight.dtype)
    if not np.isfinite(new_bias.astype(np.float64)).all() or (scaled is not None and not _finite(scaled)):
        return None
    return Absorbed(scaled, np.asarray(new_bias))


def _finite(array: Array) -> bool:
    return bool(np.isfinite(array.astype(np.float64)).all())


def _channels(node: ir.Node, weight: Array) -> int:
    match node.op_type:
        case "ConvTranspose":
            return int(weight.shape[1] * node.attributes.get_int("group", 1))
        case "Gemm":
            return int(weight.shape[0 if node.attributes.get_int("transB", 0) else 1])
    return int(weight.shape[0])


def _spread(node: ir.Node, weight: Array, scale: Array) -> Array:
    """The scale in the weight's layout."""
    if node.op_type == "Gemm":
        return scale[:, None] if node.attributes.get_int("transB", 0) else scale[None, :]
    tail = (1,) * (weight.ndim - 2)
    if node.op_type == "ConvTranspose":
        group = node.attributes.get_int("group", 1)
        by_group = np.broadcast_to(scale.reshape(group, 1, -1), (group, weight.shape[0] // group, weight.shape[1]))
        return by_group.reshape(weight.shape[:2] + tail)
    return scale.reshape(-1, 1, *tail)


ABSORBERS = ("Conv", "ConvTranspose", "Gemm")
"""Operators whose weight and bias can take in an affine map of their output."""
