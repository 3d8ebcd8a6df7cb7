"""Operators that move values without changing them."""

from __future__ import annotations

import numpy as np

from rknn_ep_tvm.relax_onnx.writer import CallWriter, UnsupportedCallError, converter, plain


@converter("relax.reshape", "relax.flatten", "relax.nn.batch_flatten")
def reshape(call: CallWriter) -> str:
    """To the static shape that the call's type has."""
    return call.node("Reshape", [call.inputs[0], call.constant(call.result)])


@converter("relax.expand_dims")
def expand_dims(call: CallWriter) -> str:
    """New axes of size 1."""
    rank = len(call.result)
    return call.node("Unsqueeze", [call.inputs[0], call.constant([axis % rank for axis in call.attribute("axis")])])


@converter("relax.squeeze")
def squeeze(call: CallWriter) -> str:
    """Axes of size 1 go; all of them where none is named."""
    axes, shape = call.attribute("axis"), call.shape()
    if axes is None:
        axes = [index for index, size in enumerate(shape) if size == 1]
    return call.node("Squeeze", [call.inputs[0], call.constant([axis % len(shape) for axis in axes])])


@converter("relax.permute_dims")
def permute_dims(call: CallWriter) -> str:
    """Without axes they are reversed, as ONNX has it."""
    axes = call.attribute("axes")
    return call.node("Transpose", call.inputs, perm=None if axes is None else [axis % len(axes) for axis in axes])


@converter("relax.concat")
def concat(call: CallWriter) -> str:
    """Of a tuple; without an axis the tensors are flat already or flattened first, which Relax has by its type only."""
    axis = call.attribute("axis")
    if axis is None:
        raise UnsupportedCallError("no axis")
    return call.node("Concat", call.inputs[0], axis=axis)


@converter("relax.stack")
def stack(call: CallWriter) -> str:
    """Concat along an axis that is made."""
    axis = (call.attribute("axis") or 0) % len(call.result)
    parts = [call.node("Unsqueeze", [part, call.constant([axis])]) for part in call.inputs[0]]
    return call.node("Concat", parts, axis=axis)


@converter("relax.split")
def split(call: CallWriter) -> list[str]:
    """By indices or in equal sections: the sizes are in the call's type."""
    axis = call.attribute("axis")
    sizes = [int(field.shape[axis]) for field in call.call.ty.fields]
    return call.nodes("Split", [call.inputs[0], call.constant(sizes)], len(sizes), axis=axis)


@converter("relax.strided_slice")
def strided_slice(call: CallWriter) -> str:
    """Static begins, ends and steps; the ends of Relax may lie beyond the tensor, as those of ONNX may."""
    axes, begins, ends, *steps = ([int(plain(item)) for item in argument.fields] for argument in call.call.args[1:])
    inputs = [call.constant(begins), call.constant(ends), call.constant(axes)]
    return call.node("Slice", [call.inputs[0], *inputs, *(call.constant(step) for step in steps)])


@converter("relax.take")
def take(call: CallWriter) -> str:
    """Gather along an axis; without one from a vector. Indices are taken to be in range, as Relax's `fast` does."""
    axis = call.attribute("axis")
    if axis is None and len(call.shape()) != 1:
        raise UnsupportedCallError("no axis")
    if call.attribute("mode") not in ("fast", "clip"):
        raise UnsupportedCallError(f"mode {call.attribute('mode')}")
    return call.node("Gather", call.inputs[:2], axis=axis or 0)


@converter("relax.broadcast_to")
def broadcast_to(call: CallWriter) -> str:
    """To the static shape of the call's type."""
    return call.node("Expand", [call.inputs[0], call.constant(call.result)])


@converter("relax.tile")
def tile(call: CallWriter) -> str:
    """Repeats a tensor; leading axes are made where there are more repeats than axes."""
    repeats, shape = call.attribute("repeats"), call.shape()
    if len(repeats) < len(shape):
        repeats = [*([1] * (len(shape) - len(repeats))), *repeats]
    value = call.inputs[0]
    if len(repeats) > len(shape):
        value = call.node("Reshape", [value, call.constant([*([1] * (len(repeats) - len(shape))), *shape])])
    return call.node("Tile", [value, call.constant(repeats)])


@converter("relax.nn.pad")
def pad(call: CallWriter) -> str:
    """Relax has (before, after) axis by axis, ONNX all befores and then all afters."""
    widths, mode = call.attribute("pad_width"), call.attribute("pad_mode")
    modes = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}
    if modes.get(mode, "wrap") == "wrap":
        raise UnsupportedCallError(f"pad_mode {mode}")
    inputs = [call.inputs[0], call.constant([*widths[0::2], *widths[1::2]])]
    if mode == "constant":
        inputs.append(call.like(call.attribute("pad_value")))
    return call.node("Pad", inputs, mode=modes[mode])


@converter("relax.zeros", "relax.ones", "relax.full", "relax.zeros_like", "relax.ones_like", "relax.full_like")
def filled(call: CallWriter) -> str:
    """A constant: the shape is static."""
    operator = call.call.op.name.removeprefix("relax.").removesuffix("_like")
    dtype = np.dtype(str(call.call.ty.dtype))
    if operator != "full":
        return call.constant(np.full(call.result, operator == "ones", dtype), dtype)
    value = call.inputs[1]
    if not isinstance(value, str):
        raise UnsupportedCallError("a fill value that is no tensor")
    return call.node("Expand", [value, call.constant(call.result)])


@converter("relax.arange")
def arange(call: CallWriter) -> str:
    """A constant: start, end and step are numbers where the shape is static."""
    start, _, step = (plain(bound) for bound in call.call.args)
    (count,) = call.result
    dtype = np.dtype(str(call.call.ty.dtype))
    return call.constant(start + step * np.arange(count), dtype)
