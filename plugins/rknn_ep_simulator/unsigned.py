"""Very large int8 weights as uint8: the same real values, and no copy when they are loaded.

Where a processor has AVX2 but not VNNI, ONNX Runtime must turn signed weights into unsigned ones before it may multiply
(16-bit sums saturate otherwise), and holds both while it loads. A model of hundreds of megabytes is better written
unsigned; small ones stay signed, which is the faster form where there is VNNI.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.graphs import DEQUANTIZE, MULTIPLIERS, constant, new_initializer

LARGE = 64 << 20
"""Bytes of int8 weights from which memory counts for more than speed."""


def make_large_weights_unsigned(model: ir.Model, large: int = LARGE) -> int:
    """Rewrite the int8 weights of products as code + 128 where all of them together are large.

    Returns:
        How many were rewritten.
    """
    weights = [node for node in model.graph if node.op_type == DEQUANTIZE and _is_signed_weight(node)]
    if sum(array.nbytes for node in weights if (array := constant(node.inputs[0])) is not None) < large:
        return 0
    moved: dict[ir.Value, ir.Value] = {}
    for node in weights:
        codes, zero = node.inputs[0], constant(node.inputs[2]) if len(node.inputs) > 2 else None
        array, scale = constant(codes), constant(node.inputs[1])
        assert codes is not None and array is not None and scale is not None
        if zero is None:
            zero = np.zeros(scale.shape, np.int8)
        if codes not in moved:
            moved[codes] = new_initializer(model.graph, f"{codes.name}_unsigned", _unsigned(array))
        new_zero = new_initializer(model.graph, f"{codes.name}_unsigned_zero_point", _unsigned(zero))
        node.replace_input_with(0, moved[codes])
        if len(node.inputs) > 2:
            node.replace_input_with(2, new_zero)
        else:
            node.resize_inputs(3)
            node.replace_input_with(2, new_zero)
    for codes in moved:
        if not codes.uses() and codes.name is not None:
            del model.graph.initializers[codes.name]
    return len(weights)


def _is_signed_weight(node: ir.Node) -> bool:
    array = constant(node.inputs[0])
    readers = [reader for reader, _ in node.outputs[0].uses()]
    return array is not None and array.dtype == np.int8 and bool(readers) and all(one.op_type in MULTIPLIERS for one in readers)


def _unsigned(array: np.ndarray[tuple[int, ...], np.dtype[np.int8]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.ascontiguousarray(array).view(np.uint8) ^ np.uint8(0x80)
