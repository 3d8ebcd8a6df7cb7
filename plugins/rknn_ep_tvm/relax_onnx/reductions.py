"""Reductions."""

from __future__ import annotations

from rknn_ep_tvm.relax_onnx.writer import CallWriter, UnsupportedCallError, converter


@converter("relax.mean")
def mean(call: CallWriter) -> str:
    """Over a picture's rows and columns it is the pool that the planner knows, over anything else ReduceMean."""
    rank, axes = len(call.shape()), call.attribute("axis")
    if axes is None or rank != 4 or {axis % rank for axis in axes} != {2, 3}:
        return call.node("ReduceMean", call.inputs, axes=axes, keepdims=int(call.attribute("keepdims")))
    pooled = call.node("GlobalAveragePool", call.inputs)
    return pooled if call.attribute("keepdims") else call.node("Reshape", [pooled, call.constant(call.result)])


@converter("relax.max", "relax.min", "relax.prod")
def reduction(call: CallWriter) -> str:
    """Over axes, all of them where none is named."""
    operator = f"Reduce{call.call.op.name.removeprefix('relax.').capitalize()}"
    return call.node(operator, call.inputs, axes=call.attribute("axis"), keepdims=int(call.attribute("keepdims")))


@converter("relax.sum")
def total(call: CallWriter) -> str:
    """ReduceSum takes its axes as an input since opset 13."""
    axes = call.attribute("axis")
    inputs = [*call.inputs, *([] if axes is None else [call.constant(axes)])]
    return call.node("ReduceSum", inputs, keepdims=int(call.attribute("keepdims")))


@converter("relax.argmax", "relax.argmin")
def index_of_extreme(call: CallWriter) -> str:
    """Along one axis."""
    axis = call.attribute("axis")
    if axis is None:
        raise UnsupportedCallError("no axis")
    operator = "ArgMax" if call.call.op.name == "relax.argmax" else "ArgMin"
    return call.node(operator, call.inputs, axis=axis, keepdims=int(call.attribute("keepdims")))
