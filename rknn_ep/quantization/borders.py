"""Scales on which no sum falls on the border between two codes.

Integers are summed exactly nearly everywhere, but each implementation rescales the sum in an order of its own, in float32 or by a
fixed-point number. Where the exact result is half way between two codes, or as near to it as float32 can tell, they round to
different sides; such a code reaches many in later layers. A rescaling by p / q with integers p and q, q odd, never gives
k + 1/2, since 2 * sum * p is even and (2 k + 1) * q odd, and stays at least 1 / (2 q) away from it. With q below 512 that is
9.8e-4 of a step. Three roundings of float32 at code 255 make 4.6e-5; who sums products that are float32 already makes up to
6e-8 of the largest partial sum, some hundreds of steps where large ones cancel. So any order of operations gives the same codes.

Which scales there are is ours to choose: the nearest p / q above moves a weight's scale by less than 1 %, by 0.1 to 0.3 % in
the mean.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.quantization.operators import integer_attribute, text_attribute

Array = np.ndarray[Any, Any]

LARGEST_DENOMINATOR = 511
LEAST_PARTS = 256
"""An average's scale is wider by at most one part in so many."""
_TRIED = 16
"""Numerators."""


def off_borders(weight_scales: Array, input_scale: float, output_scale: float) -> Array:
    """Weight scales (float32), enlarged so that input_scale * weight_scale / output_scale is p / q with an odd q.

    Rescalings below 1 / 511 get p = 1 and a larger q: their sums are that much larger, and so is the distance to a border in
    units of the sum.

    Args:
        weight_scales: positive, any shape.
        input_scale: of the activations that the weights multiply.
        output_scale: of the tensor that the sum is rounded to.
    """
    ratio = float(output_scale) / float(input_scale)
    wanted = np.asarray(weight_scales, np.float64)[..., None] / ratio
    p = np.maximum(np.floor(wanted * LARGEST_DENOMINATOR) - np.arange(_TRIED), 1.0)
    q = np.maximum(np.floor(p / wanted), 1.0)
    q = np.where(q % 2 == 0, q - 1, q)
    made = (p / q * ratio).min(axis=-1)
    return np.asarray(made, np.float32)


def averaging_factor(node: ir.Node) -> float:
    """By what an average's scale differs from its input's so that no mean of codes is half way between two.

    The mean of n codes is a sum divided by n: no border for an odd n. For an even one it is divided by
    n * (m + 1) / m with m a multiple of n, which is a rescaling by (m / n) / (m + 1).

    Returns:
        (m + 1) / m, m at least 256; 1 for odd n, for other operators, and where windows differ in size.
    """
    count = _averaged(node)
    if count == 0 or count % 2:
        return 1.0
    parts = count
    while parts < LEAST_PARTS:
        parts *= 2
    return (parts + 1) / parts


def average_scale(node: ir.Node, input_scale: float, wanted: float) -> np.float32:
    """The scale of an average that has one of its own: the least from `wanted` on that no mean of codes is half way on.

    The mean of n codes is their sum times input_scale / (n * scale): that is made p / q with an odd q, of at most 511 where it
    can be.
    """
    count = _averaged(node)
    ratio = float(input_scale) / (max(count, 1) * float(wanted))
    if count == 0:
        return np.float32(wanted)
    p = np.maximum(np.floor(ratio * LARGEST_DENOMINATOR) - np.arange(_TRIED), 1.0)
    q = np.ceil(p / ratio)
    q = np.where(q % 2 == 0, q + 1, q)
    return np.float32(float(input_scale) / (count * float((p / q).max())))


def _averaged(node: ir.Node) -> int:
    """How many values each mean is made of; 0 where that is not one number."""
    source, result = node.inputs[0], node.outputs[0]
    if node.op_type == "AveragePool":
        pads, kernel = node.attributes.get("pads"), node.attributes["kernel_shape"].as_ints()
        padded = pads is not None and any(pads.as_ints()) and not integer_attribute(node, "count_include_pad", 0)
        fixed = text_attribute(node, "auto_pad", "NOTSET") in ("NOTSET", "VALID") and not integer_attribute(node, "ceil_mode", 0)
        return math.prod(int(one) for one in kernel) if fixed and not padded else 0
    if node.op_type not in ("GlobalAveragePool", "ReduceMean") or source is None or source.shape is None or result.shape is None:
        return 0
    if not (source.shape.is_static() and result.shape.is_static()):
        return 0
    made = math.prod(result.shape.numpy())
    return math.prod(source.shape.numpy()) // made if made else 0
