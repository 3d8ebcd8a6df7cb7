"""Weights as the vendor's import keeps them.

Where every zero point of a weight is 0, RKNN-Toolkit2 quantises it anew with scale * 128/127. A zero point other than 0,
in any channel, keeps our scales (measured with 2.5.0: a Conv with an int32 bias then equals the integer arithmetic bit for
bit). So one channel of the vendor's copy is stored as code - 1 with zero point -1: the same real values. ONNX Runtime's
fused kernels refuse unequal zero points; nobody but the vendor ever sees this copy.

Products whose result is not rounded to codes (logits that go to a Softmax) cannot be integer operators there: the import
makes their weights float16 and then fails on an int32 bias. They are written with float weights and biases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep_toolkit2.graphs import (
    DEQUANTIZE,
    PRODUCTS,
    QUANTIZE,
    Array,
    axis_of,
    constant,
    dequantized_constant,
    new_constant,
    readers,
)

_FUSED = frozenset(
    {
        *("Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Elu", "Tanh", "Softplus", "Gelu", "Erf"),
        *("Add", "Mul", "Div", "Selu", "Mish"),
    }
)
"""Operators that may stand between a product and its rounding within one native operator."""


def keep_scales(model: ir.Model) -> tuple[str, ...]:
    """Give every int8 weight whose zero points are all 0 another zero point in one channel. Changes `model`.

    Returns:
        Names of the weights that could not be given one, because every channel uses all 256 codes: the toolkit
        quantises these anew.
    """
    left: list[str] = []
    for node in list(model.graph):
        if node.op_type != DEQUANTIZE or node.inputs[0] is None:
            continue
        codes, scale = constant(node.inputs[0]), constant(node.inputs[1])
        zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if codes is None or scale is None or codes.dtype != np.int8 or (zero is not None and zero.any()):
            continue
        moved = _moved(codes, np.zeros(scale.shape, np.int8), axis_of(node))
        name = node.inputs[0].name or ""
        if moved is None:
            left.append(name)
            continue
        # Another node may read the same codes: each gets a copy of its own.
        node.replace_input_with(0, new_constant(model.graph, f"{name}_kept", moved[0]))
        if len(node.inputs) < 3:
            node.resize_inputs(3)
        node.replace_input_with(2, new_constant(model.graph, f"{name}_kept_zero", moved[1]))
    return tuple(left)


def _moved(codes: Array, zeros: Array, axis: int) -> tuple[Array, Array] | None:
    """Codes and zero points with one channel (all of a per-tensor weight) moved by one, or None where none has room."""
    codes, zeros = codes.copy(), zeros.copy()
    channels: list[Any] = [...]
    if zeros.size > 1:
        before = (slice(None),) * (axis % codes.ndim)
        channels = [(*before, channel) for channel in range(zeros.size)]
    for channel, place in enumerate(channels):
        for step in (-1, 1):
            wanted = codes[place].astype(np.int16) + step
            if wanted.size and wanted.min() >= -128 and wanted.max() <= 127:
                codes[place] = wanted.astype(np.int8)
                zeros.reshape(-1)[channel] = step
                return codes, zeros
    return None


def float_unrounded(model: ir.Model) -> tuple[str, ...]:
    """Write the products whose result stays float with float weights and biases. Changes `model`.

    Returns:
        Names of the outputs of these products.
    """
    changed = []
    for node in list(model.graph):
        if node.op_type not in PRODUCTS or _rounded(node.outputs[0]):
            continue
        places = [(node, position) for position in range(1, len(node.inputs))]
        if node.op_type == "MatMul":
            places += [(one, position) for one in readers(node.outputs[0]) if one.op_type == "Add" for position in (0, 1)]
        done = False
        for holder, position in places:
            value = holder.inputs[position]
            array = dequantized_constant(value)
            if array is not None and value is not None:
                holder.replace_input_with(position, new_constant(model.graph, f"{value.name}_float", array))
                done = True
        changed += [node.outputs[0].name or ""] if done else []
    return tuple(changed)


def _rounded(value: ir.Value) -> bool:
    """Whether every way from `value` comes to a QuantizeLinear before it leaves the native operator."""
    waiting, seen = [value], set[ir.Value]()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if one.is_graph_output() or not one.uses():
            return False
        for reader in readers(one):
            if reader.op_type == QUANTIZE:
                continue
            if reader.op_type not in _FUSED:
                return False
            waiting += reader.outputs
    return True
