"""Layers: convolutions, products, pooling, normalisation, resizing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rknn_ep_tvm.relax_onnx.writer import CallWriter, UnsupportedCallError, converter

_LAYOUTS = {1: ("NCW", "OIW", "IOW"), 2: ("NCHW", "OIHW", "IOHW"), 3: ("NCDHW", "OIDHW", "IODHW")}
"""Spatial dimensions -> layout of data, of kernels, and of transposed kernels: those of ONNX."""


def _channels_first(call: CallWriter, spatial: int, *attributes: str) -> None:
    for attribute in attributes:
        if (layout := call.attribute(attribute)) not in ("", _LAYOUTS[spatial][0]):
            raise UnsupportedCallError(f"{attribute} {layout}; ONNX has {_LAYOUTS[spatial][0]}")


@converter("relax.nn.conv1d", "relax.nn.conv2d", "relax.nn.conv3d")
def conv(call: CallWriter) -> str:
    """Conv without bias: Relax adds it by an operator of its own, and planning folds that."""
    spatial = len(call.shape()) - 2
    _channels_first(call, spatial, "data_layout", "out_layout")
    if call.attribute("kernel_layout") != _LAYOUTS[spatial][1]:
        raise UnsupportedCallError(f"kernel_layout {call.attribute('kernel_layout')}; ONNX has {_LAYOUTS[spatial][1]}")
    return call.node(
        "Conv",
        call.inputs,
        kernel_shape=call.shape(1)[2:],
        strides=call.attribute("strides"),
        pads=call.attribute("padding"),
        dilations=call.attribute("dilation"),
        group=call.attribute("groups"),
    )


@converter("relax.nn.conv1d_transpose", "relax.nn.conv2d_transpose", "relax.nn.conv3d_transpose")
def conv_transpose(call: CallWriter) -> str:
    """ConvTranspose without bias."""
    spatial = len(call.shape()) - 2
    _channels_first(call, spatial, "data_layout", "out_layout")
    if call.attribute("kernel_layout") != _LAYOUTS[spatial][2]:
        raise UnsupportedCallError(f"kernel_layout {call.attribute('kernel_layout')}; ONNX has {_LAYOUTS[spatial][2]}")
    return call.node(
        "ConvTranspose",
        call.inputs,
        kernel_shape=call.shape(1)[2:],
        strides=call.attribute("strides"),
        pads=call.attribute("padding"),
        dilations=call.attribute("dilation"),
        output_padding=call.attribute("output_padding"),
        group=call.attribute("groups"),
    )


@converter("relax.matmul")
def matmul(call: CallWriter) -> str:
    """MatMul broadcasts as Relax does."""
    return call.node("MatMul", call.inputs)


@converter("relax.nn.max_pool1d", "relax.nn.max_pool2d", "relax.nn.max_pool3d")
def max_pool(call: CallWriter) -> str:
    """Maximum of windows."""
    return call.node("MaxPool", call.inputs, dilations=call.attribute("dilation"), **_window(call))


@converter("relax.nn.avg_pool1d", "relax.nn.avg_pool2d", "relax.nn.avg_pool3d")
def avg_pool(call: CallWriter) -> str:
    """Mean of windows; ONNX before opset 19 cannot dilate them."""
    if any(step != 1 for step in call.attribute("dilation")):
        raise UnsupportedCallError("a dilated average")
    return call.node("AveragePool", call.inputs, count_include_pad=int(call.attribute("count_include_pad")), **_window(call))


def _window(call: CallWriter) -> dict[str, Any]:
    _channels_first(call, len(call.shape()) - 2, "layout", "out_layout")
    return {
        "kernel_shape": call.attribute("pool_size"),
        "strides": call.attribute("strides"),
        "pads": call.attribute("padding"),
        "ceil_mode": int(call.attribute("ceil_mode")),
    }


@converter("relax.nn.adaptive_avg_pool1d", "relax.nn.adaptive_avg_pool2d", "relax.nn.adaptive_avg_pool3d")
def adaptive_avg_pool(call: CallWriter) -> str:
    """One value a channel, or windows of equal size."""
    spatial = len(call.shape()) - 2
    _channels_first(call, spatial, "layout", "out_layout")
    sizes, wanted = call.shape()[2:], call.result[2:]
    if all(size == 1 for size in wanted):
        return call.node("GlobalAveragePool", call.inputs)
    if any(size % parts for size, parts in zip(sizes, wanted, strict=True)):
        raise UnsupportedCallError(f"windows of unequal size: {sizes} into {wanted}")
    window = [size // parts for size, parts in zip(sizes, wanted, strict=True)]
    return call.node("AveragePool", call.inputs, kernel_shape=window, strides=window)


@converter("relax.nn.batch_norm")
def batch_norm(call: CallWriter) -> list[str]:
    """At inference: the moving statistics pass through."""
    if call.attribute("training"):
        raise UnsupportedCallError("training")
    if call.attribute("axis") % len(call.shape()) != 1:
        raise UnsupportedCallError(f"channels on axis {call.attribute('axis')}; ONNX has them on axis 1")
    data, gamma, beta, mean, variance = call.inputs
    channels, dtype = call.shape(1), call.dtype()
    gamma = gamma if call.attribute("scale") else call.constant(np.ones(channels), dtype)
    beta = beta if call.attribute("center") else call.constant(np.zeros(channels), dtype)
    value = call.node("BatchNormalization", [data, gamma, beta, mean, variance], epsilon=float(call.attribute("epsilon")))
    return [value, mean, variance]


@converter("relax.nn.layer_norm")
def layer_norm(call: CallWriter) -> str:
    """Over the last axes."""
    data, gamma, beta = call.inputs
    axis = _trailing(call)
    dtype, over = call.dtype(), call.shape()[axis:]
    gamma = gamma if call.attribute("scale") else call.constant(np.ones(over), dtype)
    beta = beta if call.attribute("center") else call.constant(np.zeros(over), dtype)
    return call.node("LayerNormalization", [data, gamma, beta], axis=axis, epsilon=float(call.attribute("epsilon")))


@converter("relax.nn.rms_norm")
def rms_norm(call: CallWriter) -> str:
    """Scaled by the root of the mean square: x / sqrt(mean(x^2) + epsilon) * weight (Zhang and Sennrich, 2019)."""
    data, weight = call.inputs
    _trailing(call)
    mean = call.node("ReduceMean", [call.node("Mul", [data, data])], axes=call.attribute("axes"), keepdims=1)
    root = call.node("Sqrt", [call.node("Add", [mean, call.like(call.attribute("epsilon"))])])
    return call.node("Mul", [call.node("Div", [data, root]), weight])


def _trailing(call: CallWriter) -> int:
    rank = len(call.shape())
    axes = sorted(axis % rank for axis in call.attribute("axes"))
    if axes != list(range(axes[0], rank)):
        raise UnsupportedCallError(f"axes {axes}; ONNX normalises over the last ones")
    return int(axes[0])


@converter("relax.nn.group_norm")
def group_norm(call: CallWriter) -> str:
    """Groups as instances; scale and shift by channel."""
    data, gamma, beta = call.inputs
    shape, groups = call.shape(), call.attribute("num_groups")
    rank = len(shape)
    if call.attribute("channel_axis") % rank != 1 or sorted(axis % rank for axis in call.attribute("axes")) != list(
        range(2, rank)
    ):
        raise UnsupportedCallError("channels or axes other than NCHW's")
    ones, zeros = (call.constant(np.full(groups, value), call.dtype()) for value in (1, 0))
    value = call.node("Reshape", [data, call.constant([shape[0], groups, -1])])
    value = call.node("InstanceNormalization", [value, ones, zeros], epsilon=float(call.attribute("epsilon")))
    return _by_channel(call, call.node("Reshape", [value, call.constant(shape)]), gamma, beta)


@converter("relax.nn.instance_norm")
def instance_norm(call: CallWriter) -> str:
    """One mean and deviation a channel of a sample."""
    rank = len(call.shape())
    if call.attribute("channel_axis") % rank != 1 or sorted(axis % rank for axis in call.attribute("axes")) != list(
        range(2, rank)
    ):
        raise UnsupportedCallError("channels or axes other than NCHW's")
    channels = call.shape()[1]
    data, gamma, beta = call.inputs
    gamma = gamma if call.attribute("scale") else call.constant(np.ones(channels), call.dtype())
    beta = beta if call.attribute("center") else call.constant(np.zeros(channels), call.dtype())
    return call.node("InstanceNormalization", [data, gamma, beta], epsilon=float(call.attribute("epsilon")))


def _by_channel(call: CallWriter, value: str, gamma: str, beta: str) -> str:
    aligned = call.constant([-1, *([1] * (len(call.shape()) - 2))])
    if call.attribute("scale"):
        value = call.node("Mul", [value, call.node("Reshape", [gamma, aligned])])
    if call.attribute("center"):
        value = call.node("Add", [value, call.node("Reshape", [beta, aligned])])
    return value


@converter("relax.nn.softmax", "relax.nn.log_softmax")
def softmax(call: CallWriter) -> str:
    """Along an axis."""
    operator = "Softmax" if call.call.op.name.endswith(".softmax") else "LogSoftmax"
    return call.node(operator, call.inputs, axis=call.attribute("axis"))


_METHODS = {"nearest_neighbor": "nearest", "linear": "linear", "cubic": "cubic"}
_ROUNDINGS = {
    "floor": "floor",
    "ceil": "ceil",
    "round_prefer_floor": "round_prefer_floor",
    "round_prefer_ceil": "round_prefer_ceil",
}


@converter("relax.image.resize2d")
def resize(call: CallWriter) -> str:
    """Resize to fixed sizes; TVM's `round` means halves up, as the word of ONNX says it."""
    _channels_first(call, 2, "layout")
    method, mode = call.attribute("method"), call.attribute("coordinate_transformation_mode")
    if mode not in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"):
        raise UnsupportedCallError(f"coordinate_transformation_mode {mode}")
    rounding: Sequence[str] | str | None = None
    if method == "nearest_neighbor":
        rounding = {**_ROUNDINGS, "round": "round_prefer_ceil", "": "round_prefer_floor"}.get(call.attribute("rounding_method"))
        if rounding is None:
            raise UnsupportedCallError(f"rounding_method {call.attribute('rounding_method')}")
    return call.node(
        "Resize",
        [call.inputs[0], "", "", call.constant(call.result)],
        mode=_METHODS[method],
        coordinate_transformation_mode=mode,
        nearest_mode=rounding,
        cubic_coeff_a=float(call.attribute("cubic_alpha")) if method == "cubic" else None,
        exclude_outside=int(call.attribute("cubic_exclude")) if method == "cubic" else None,
    )


@converter("relax.nn.pixel_shuffle")
def pixel_shuffle(call: CallWriter) -> str:
    """Channels into space, channel-row-column."""
    return call.node("DepthToSpace", call.inputs, blocksize=call.attribute("upscale_factor"), mode="CRD")
