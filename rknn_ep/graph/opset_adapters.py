"""Operators whose meaning changed between opsets, and how to say the same in the other one.

An adapter gets (node, source opset, target opset) and answers with the steps that replace the node, with an empty list
when the node already means the same, or with None when it has nothing special to say and the schemas decide. It
changes nothing itself. Sources: the ONNX operator changelog; ONNX Runtime's kernels where the text is silent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.graph.values import constant, static_shape


@dataclass(frozen=True)
class Step:
    """One node to write. An input is a value, None, an array (a new constant) or the number of an earlier step."""

    op_type: str
    inputs: list[Any]
    attributes: Mapping[str, Any] = field(default_factory=dict)


Adapter = Callable[[ir.Node, int, int], list[Step] | None]
ADAPTERS: dict[str, Adapter] = {}


def adapter(*op_types: str) -> Callable[[Adapter], Adapter]:
    """Register an adapter for operators."""

    def register(function: Adapter) -> Adapter:
        ADAPTERS.update(dict.fromkeys(op_types, function))
        return function

    return register


def crosses(source: int, target: int, version: int) -> int:
    """1 when the way leads up past `version`, -1 when down, 0 when both ends are on one side."""
    return (target >= version) - (source >= version)


def rest(node: ir.Node, *without: str) -> dict[str, Any]:
    """The node's attributes as Python values, without some."""
    return {name: attribute.value for name, attribute in node.attributes.items() if name not in without}


def given(node: ir.Node, index: int) -> ir.Value | None:
    """An input, or None where it is omitted."""
    return node.inputs[index] if index < len(node.inputs) else None


def _float_like(value: ir.Value | None) -> Any:
    return value.dtype.numpy() if value is not None and value.dtype is not None else np.dtype(np.float32)


def _ints(values: Any) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=np.int64)


@adapter("Squeeze", "Unsqueeze", "ReduceSum")
def _axes_13(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 13) != 1 or "axes" not in node.attributes:
        return None
    return [Step(node.op_type, [node.inputs[0], _ints(node.attributes["axes"].value)], rest(node, "axes"))]


@adapter(*(f"Reduce{kind}" for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")))
def _axes_18(node: ir.Node, source: int, target: int) -> list[Step] | None:
    direction = crosses(source, target, 18)
    if direction == 1 and "axes" in node.attributes:
        return [Step(node.op_type, [node.inputs[0], _ints(node.attributes["axes"].value)], rest(node, "axes"))]
    if direction != -1:
        return None
    axes, value = constant(given(node, 1)), given(node, 1)
    if value is not None and axes is None:
        return None
    attributes = rest(node, "noop_with_empty_axes")
    if axes is not None and axes.size:
        attributes["axes"] = axes.tolist()
    elif "noop_with_empty_axes" in node.attributes and node.attributes["noop_with_empty_axes"].value:
        return (
            [Step("Identity", [node.inputs[0]])]
            if node.op_type in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd")
            else None
        )
    return [Step(node.op_type, [node.inputs[0]], attributes)]


@adapter("Split")
def _split(node: ir.Node, source: int, target: int) -> list[Step] | None:
    attributes = rest(node, "split", "num_outputs")
    shape = static_shape(node.inputs[0])
    axis = int(attributes.get("axis", 0))
    sizes = given(node, 1)
    if crosses(source, target, 13) == 1 and "split" in node.attributes:
        return [Step("Split", [node.inputs[0], _ints(node.attributes["split"].value)], attributes)]
    if crosses(source, target, 18) == 0 or sizes is not None or shape is None:
        return None
    count = len(node.outputs)
    size = -(-shape[axis] // count)
    parts = [size] * (count - 1) + [shape[axis] - size * (count - 1)]
    return [Step("Split", [node.inputs[0], _ints(parts)], attributes)]


@adapter("Softmax", "LogSoftmax", "Hardmax")
def _softmax(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 13) != 1:
        return None
    shape, axis = static_shape(node.inputs[0]), int(rest(node).get("axis", 1))
    if shape is None:
        return None
    axis += len(shape) if axis < 0 else 0
    if axis >= len(shape):
        return None
    if all(size == 1 for size in shape[axis + 1 :]):
        return [Step(node.op_type, [node.inputs[0]], {"axis": axis})]
    # Before opset 13 everything from `axis` on was one dimension.
    flat = _ints([*shape[:axis], -1])
    return [
        Step("Reshape", [node.inputs[0], flat]),
        Step(node.op_type, [0], {"axis": -1}),
        Step("Reshape", [1, _ints(shape)]),
    ]


@adapter("Clip")
def _clip(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 11) != 1:
        return None
    dtype = _float_like(node.inputs[0])
    bounds = [np.array(rest(node)[name], dtype=dtype) if name in node.attributes else None for name in ("min", "max")]
    while bounds and bounds[-1] is None:
        bounds.pop()
    return [Step("Clip", [node.inputs[0], *bounds])]


@adapter("Pad")
def _pad(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 11) == 1:
        inputs: list[Any] = [node.inputs[0], _ints(node.attributes["pads"].value)]
        if "value" in node.attributes:
            inputs.append(np.array(node.attributes["value"].value, dtype=_float_like(node.inputs[0])))
        return [Step("Pad", inputs, rest(node, "pads", "value"))]
    if crosses(source, target, 18) == -1 and given(node, 3) is not None:
        axes, pads, shape = constant(given(node, 3)), constant(given(node, 1)), node.inputs[0].shape if node.inputs[0] else None
        if axes is None or pads is None or shape is None:
            return None
        rank = len(shape)
        whole = np.zeros((2, rank), dtype=np.int64)
        whole[:, axes % rank] = pads.reshape(2, -1)
        return [Step("Pad", [node.inputs[0], whole.reshape(-1), given(node, 2)], rest(node))] if _mode_known(node) else None
    return None


def _mode_known(node: ir.Node) -> bool:
    return bool(rest(node).get("mode", "constant") != "wrap")


@adapter("Slice")
def _slice(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 10) != 1:
        return None
    inputs = [node.inputs[0], *(_ints(node.attributes[name].value) for name in ("starts", "ends"))]
    if "axes" in node.attributes:
        inputs.append(_ints(node.attributes["axes"].value))
    return [Step("Slice", inputs)]


@adapter("TopK")
def _topk(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 10) != 1:
        return None
    return [Step("TopK", [node.inputs[0], _ints([node.attributes["k"].value])], rest(node, "k"))]


@adapter("Upsample", "Resize")
def _resize(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 11) != 1 or (node.op_type == "Resize" and source < 10):
        return _resize_18(node, source, target)
    if "scales" in node.attributes:
        scales: Any = np.array(node.attributes["scales"].value, dtype=np.float32)
        known: Any = scales
    else:
        scales, known = given(node, 1), constant(given(node, 1))
    if known is None:
        return None
    # Opset 10 said nothing about rounding: ONNX Runtime takes floor when growing and ceil when shrinking.
    grows, shrinks = bool((known > 1).any()), bool((known < 1).any())
    mode = rest(node).get("mode", "nearest")
    if mode == "nearest" and grows and shrinks:
        return None
    attributes = {"mode": mode, "coordinate_transformation_mode": "asymmetric"}
    if mode == "nearest":
        attributes["nearest_mode"] = "ceil" if shrinks else "floor"
    return [Step("Resize", [node.inputs[0], None, scales], attributes)]


def _resize_18(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 18) != -1:
        return None
    attributes = rest(node, "antialias", "axes", "keep_aspect_ratio_policy")
    shape = static_shape(node.inputs[0])
    axes = rest(node).get("axes")
    fancy = rest(node).get("antialias", 0) or rest(node).get("keep_aspect_ratio_policy", "stretch") != "stretch"
    if fancy or attributes.get("coordinate_transformation_mode") == "half_pixel_symmetric":
        return None
    if axes is None:
        return None
    scales, sizes = constant(given(node, 2)), constant(given(node, 3))
    if shape is None or given(node, 1) is not None or (scales is None and sizes is None):
        return None
    places = [axis % len(shape) for axis in axes]
    if scales is not None and scales.size:
        whole: Any = np.ones(len(shape), dtype=np.float32)
        whole[places] = scales
        return [Step("Resize", [node.inputs[0], None, whole], attributes)]
    whole = _ints(shape)
    whole[places] = sizes
    return [Step("Resize", [node.inputs[0], None, None, whole], attributes)]


@adapter("RoiAlign")
def _roi_align(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 16) != 1:
        return None
    return [Step("RoiAlign", list(node.inputs), {**rest(node), "coordinate_transformation_mode": "output_half_pixel"})]


@adapter("Scatter")
def _scatter(node: ir.Node, source: int, target: int) -> list[Step] | None:
    return [Step("ScatterElements", list(node.inputs), rest(node))] if crosses(source, target, 11) == 1 else None


@adapter("Dropout")
def _dropout(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 12) != 1:
        return None
    if len(node.outputs) > 1 and crosses(source, target, 10) == 1:
        return None
    return [Step("Dropout", [node.inputs[0]])]


@adapter("GridSample")
def _grid_sample(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 20) != -1:
        return None
    mode = rest(node).get("mode", "linear")
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    if shape is None or len(shape) != 4:
        return None
    return [
        Step("GridSample", list(node.inputs), {**rest(node), "mode": {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)})
    ]


@adapter("Gelu")
def _gelu(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 20) != -1:
        return None
    x, dtype = node.inputs[0], _float_like(node.inputs[0])

    def number(value: float) -> np.ndarray[Any, Any]:
        return np.array(value, dtype=dtype)

    if rest(node).get("approximate", "none") == "none":
        return [
            Step("Div", [x, number(np.sqrt(2.0))]),
            Step("Erf", [0]),
            Step("Add", [1, number(1.0)]),
            Step("Mul", [x, 2]),
            Step("Mul", [3, number(0.5)]),
        ]
    return [
        Step("Pow", [x, number(3.0)]),
        Step("Mul", [0, number(0.044715)]),
        Step("Add", [x, 1]),
        Step("Mul", [2, number(np.sqrt(2.0 / np.pi))]),
        Step("Tanh", [3]),
        Step("Add", [4, number(1.0)]),
        Step("Mul", [x, 5]),
        Step("Mul", [6, number(0.5)]),
    ]


@adapter("Mish")
def _mish(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 18) != -1:
        return None
    return [Step("Softplus", [node.inputs[0]]), Step("Tanh", [0]), Step("Mul", [node.inputs[0], 1])]


@adapter("Swish")
def _swish(node: ir.Node, source: int, target: int) -> list[Step] | None:
    if crosses(source, target, 24) != -1:
        return None
    x, alpha = node.inputs[0], float(rest(node).get("alpha", 1.0))
    if alpha == 1.0:
        return [Step("Sigmoid", [x]), Step("Mul", [x, 0])]
    return [Step("Mul", [x, np.array(alpha, dtype=_float_like(x))]), Step("Sigmoid", [0]), Step("Mul", [x, 1])]


@adapter("RMSNormalization")
def _rms_normalization(node: ir.Node, source: int, target: int) -> list[Step] | None:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    dtype = _float_like(node.inputs[0])
    if crosses(source, target, 23) != -1 or shape is None or dtype != np.float32 or target >= 18:
        return None
    axis = int(rest(node).get("axis", -1)) % len(shape)
    epsilon = np.array(rest(node).get("epsilon", 1e-5), dtype=dtype)
    return [
        Step("Mul", [node.inputs[0], node.inputs[0]]),
        Step("ReduceMean", [0], {"axes": list(range(axis, len(shape))), "keepdims": 1}),
        Step("Add", [1, epsilon]),
        Step("Sqrt", [2]),
        Step("Div", [node.inputs[0], 3]),
        Step("Mul", [4, given(node, 1)]),
    ]


@adapter("GroupNormalization")
def _group_normalization(node: ir.Node, source: int, target: int) -> list[Step] | None:
    shape, x = static_shape(node.inputs[0]), node.inputs[0]
    scale, bias = constant(given(node, 1)), constant(given(node, 2))
    if target >= 18 or shape is None or scale is None or bias is None or _float_like(x) != np.float32:
        return None
    groups = int(node.attributes["num_groups"].value)
    ones = np.ones(groups, dtype=np.float32)
    # Opset 18 has one scale a group, opset 21 one a channel.
    per_channel = [np.repeat(one, shape[1] // one.size).reshape(-1, *[1] * (len(shape) - 2)) for one in (scale, bias)]
    return [
        Step("Reshape", [x, _ints([shape[0], groups, -1])]),
        Step("InstanceNormalization", [0, ones, 0 * ones], {"epsilon": rest(node).get("epsilon", 1e-5)}),
        Step("Reshape", [1, _ints(shape)]),
        Step("Mul", [2, per_channel[0]]),
        Step("Add", [3, per_channel[1]]),
    ]


def refused(node: ir.Node, source: int, target: int) -> bool:  # noqa: PLR0911 - one answer an operator
    """Whether a node that no adapter rewrote must not be read by the target's schema: the change is not in the schemas."""
    attributes = rest(node)
    coordinates = attributes.get("coordinate_transformation_mode")
    match node.op_type:
        case "ScatterElements" | "ScatterND":
            return crosses(source, target, 18) == -1 and attributes.get("reduction", "none") in ("max", "min")
        case "Pad":
            return crosses(source, target, 19) == -1 and not _mode_known(node)
        case "Resize":
            removed = crosses(source, target, 13) == 1 and coordinates == "tf_half_pixel_for_nn"
            later = crosses(source, target, 19) == -1 and coordinates == "half_pixel_symmetric"
            return crosses(source, target, 11) == 1 or removed or later
        case "BatchNormalization":
            return crosses(source, target, 14) == 1 and len(node.outputs) > 1
        case "Dropout":
            return crosses(source, target, 10) == 1 and len(node.outputs) > 1
        case "Softmax" | "LogSoftmax" | "Hardmax":
            return crosses(source, target, 13) == 1
        case "Scan":
            return crosses(source, target, 9) == 1
        case "Mod":
            x = node.inputs[0]
            return crosses(source, target, 28) == -1 and not attributes.get("fmod", 0) and _float_like(x).kind not in "iu"
        case "GridSample":
            return crosses(source, target, 20) == -1
        case "GroupNormalization":
            return crosses(source, target, 21) != 0
    return False
