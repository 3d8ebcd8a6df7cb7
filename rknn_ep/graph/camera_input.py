"""Gives a model a uint8 NHWC input, so that a camera's pictures go in as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import ModelError, OptionError
from rknn_ep.graph.values import constant

Array = np.ndarray[Any, Any]
COLORS = ("rgb", "bgr")


def with_camera_input(
    model: ir.Model,
    *,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    color: str = "rgb",
    picture: str = "rgb",
    name: str | None = None,
) -> ir.Model:
    """A copy of `model` whose picture input is uint8 [N,H,W,C] and does (x - mean) / std inside.

    Planning gives the Transpose and the Cast to the NPU's runtime and folds mean and std into the first convolution as far as its
    padding allows (docs/camera.md), so nothing of this is computed on the CPU.

    Args:
        model: its picture input is float32 [N,C,H,W], C 1, 3 or 4.
        mean: subtracted, one for all channels or one a channel in the order of `color`, in the 0..255 scale.
        std: divides, likewise.
        color: the order of channels that the model was made for: rgb or bgr.
        picture: the order of channels in the pictures that will be fed; where it differs from `color`, the first
            convolution's weights are put in that order.
        name: which input, where the model has several.

    Raises:
        ModelError: there is no such input, or it is not a picture's.
        OptionError: mean, std, color or picture do not fit.
    """
    copy = model.clone()
    graph = copy.graph
    value = _picture_input(graph, name)
    assert value.shape is not None
    batch, channels, height, width = value.shape
    offset, factor = _per_channel("mean", mean, int(str(channels))), _per_channel("std", std, int(str(channels)))
    if not np.all(factor > 0):
        raise OptionError(f"std divides: its numbers are above 0, not {std}")
    for option, given in (("color", color), ("picture", picture)):
        if given not in COLORS:
            raise OptionError(f"{option} is rgb or bgr, not '{given}'")
    readers = [(use.node, use.idx) for use in value.uses()]
    if color != picture:
        if channels != 3:
            raise OptionError(f"input '{value.name}' has {channels} channels: color and picture order 3 of them")
        offset, factor = offset[::-1], factor[::-1]
        _swap_weights(graph, readers, str(value.name))

    inner = value.name or ""
    made: list[ir.Node] = []

    def add(
        op_type: str, inputs: list[ir.Value], suffix: str, attributes: dict[str, Any], dtype: ir.DataType, shape: Any
    ) -> ir.Value:
        output = ir.Value(name=f"{inner}_{suffix}", type=ir.TensorType(dtype), shape=ir.Shape(shape))
        made.append(ir.Node("", op_type, inputs, [ir.convenience.convert_attribute(k, v) for k, v in attributes.items()],
                            outputs=[output], name=f"{inner}_{suffix}"))  # fmt: skip
        return output

    planar = [batch, channels, height, width]
    current = add("Transpose", [value], "planar", {"perm": [0, 3, 1, 2]}, ir.DataType.UINT8, planar)
    current = add("Cast", [current], "pixels", {"to": int(ir.DataType.FLOAT)}, ir.DataType.FLOAT, planar)
    for op_type, numbers, neutral, suffix in (("Sub", offset, 0.0, "centred"), ("Div", factor, 1.0, "scaled")):
        if not np.all(numbers == neutral):
            tensor = ir.tensor(numbers.astype(np.float32).reshape(-1, 1, 1), name=f"{inner}_{suffix}_by")
            amount = ir.Value(
                name=tensor.name, type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape(tensor.shape), const_value=tensor
            )
            graph.register_initializer(amount)
            current = add(op_type, [current, amount], suffix, {}, ir.DataType.FLOAT, planar)
    for node, index in readers:
        node.replace_input_with(index, current)
    value.type = ir.TensorType(ir.DataType.UINT8)
    value.shape = ir.Shape([batch, height, width, channels])
    first = next(iter(graph), None)
    for node in made:
        graph.append(node) if first is None else graph.insert_before(first, node)
    return copy


def _picture_input(graph: ir.Graph, name: str | None) -> ir.Value:
    candidates = [value for value in graph.inputs if value.name not in graph.initializers]
    chosen = [value for value in candidates if name in (None, value.name)]
    if len(chosen) != 1:
        names = ", ".join(str(value.name) for value in candidates)
        raise ModelError(f"the model has the inputs {names}: name one of them")
    value = chosen[0]
    shape = list(value.shape) if value.shape is not None else []
    if value.dtype != ir.DataType.FLOAT or len(shape) != 4 or shape[1] not in (1, 3, 4):
        kind = value.dtype.name if value.dtype is not None else "of no type"
        raise ModelError(
            f"input '{value.name}' is {kind} {[dim if isinstance(dim, int) else str(dim) for dim in shape]}, "
            "not a picture: FLOAT [N,C,H,W] with 1, 3 or 4 channels"
        )
    return value


def _per_channel(option: str, given: float | Sequence[float], channels: int) -> Array:
    numbers = np.atleast_1d(np.asarray(given, np.float64))
    if numbers.size not in (1, channels) or not np.isfinite(numbers).all():
        raise OptionError(f"{option} is one number or {channels}, not {given}")
    return np.broadcast_to(numbers.reshape(-1), (channels,)).copy()


def _swap_weights(graph: ir.Graph, readers: list[tuple[ir.Node, int]], name: str) -> None:
    """Put the input channels of the convolutions that read the picture in the other order."""
    for node, index in readers:
        weight = constant(node.inputs[1]) if node.op_type == "Conv" and index == 0 else None
        if weight is None or weight.shape[1] != 3:
            raise ModelError(
                f"input '{name}' is read by {node.op_type}: the order of colours can be changed in a convolution's weights alone",
                remedy="Feed pictures in the order that the model was made for, and leave `picture` out.",
            )
        tensor = ir.tensor(np.ascontiguousarray(weight[:, ::-1]), name=f"{node.inputs[1].name}_swapped")
        value = ir.Value(name=tensor.name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(tensor.shape), const_value=tensor)
        graph.register_initializer(value)
        node.replace_input_with(1, value)
