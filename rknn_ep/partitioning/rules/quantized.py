"""QuantizeLinear and DequantizeLinear of models that arrive quantised."""

from __future__ import annotations

from rknn_ep.partitioning.rules.common import FLOATS, Case, Refuse, Rule, data, fixed, ranked, typed
from rknn_ep.records import NodeFacts

CODES = ("INT8", "UINT8", "INT16", "UINT16")


def quantize(node: NodeFacts) -> Case:
    """To 8 or 16 bit codes with constant scale and zero point."""
    typed(data(node), FLOATS)
    typed(node.outputs[0], CODES)
    return _conversion(node)


def dequantize(node: NodeFacts) -> Case:
    """From 8 or 16 bit codes, or from the int32 of a constant bias."""
    typed(data(node), CODES if data(node).constant is None else (*CODES, "INT32"))
    typed(node.outputs[0], FLOATS)
    return _conversion(node)


def _conversion(node: NodeFacts) -> Case:
    fixed(node, 1, 2)
    scale = data(node, 1).constant
    constant = data(node).constant is not None
    if scale is not None and scale.size > 1 and not constant:
        raise Refuse("attribute", f"one scale for each of {scale.size} channels of an activation", "one scale a tensor")
    if not constant:
        ranked(data(node), *range(1, 6))
    return Case("QDQ")


RULES: dict[str, Rule] = {"QuantizeLinear": quantize, "DequantizeLinear": dequantize}
