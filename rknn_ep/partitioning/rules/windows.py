"""Kernel, strides, pads and dilations of convolutions and pooling, with their defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rknn_ep.partitioning.rules.common import Refuse, data, integers, shape, text
from rknn_ep.records import NodeFacts


@dataclass(frozen=True)
class Window:
    """A sliding window, one figure a spatial dimension (pads: all beginnings, then all ends)."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]


def window(node: NodeFacts, kernel: Sequence[int]) -> Window:
    """Read the window of a node.

    Raises:
        Refuse: it is larger than the padded tensor, or normalisation could not write out its padding.
    """
    ones = [1] * len(kernel)
    strides, dilations = integers(node, "strides", ones), integers(node, "dilations", ones)
    pads = integers(node, "pads", [0] * (2 * len(kernel)))
    if (automatic := text(node, "auto_pad", "NOTSET")) not in ("NOTSET", "VALID"):
        raise Refuse("attribute", f"auto_pad is {automatic}, with ceil_mode", "pads")
    _within(node, kernel, pads, dilations)
    return Window(tuple(kernel), tuple(strides), tuple(pads), tuple(dilations))


def _within(node: NodeFacts, kernel: Sequence[int], pads: Sequence[int], dilations: Sequence[int]) -> None:
    """A window fits into the padded tensor; ONNX Runtime refuses it otherwise, and the compiler with it.

    Raises:
        Refuse: it does not.
    """
    if node.op_type == "ConvTranspose":
        return
    for axis, (size, taps, dilation) in enumerate(zip(shape(data(node))[2:], kernel, dilations, strict=True)):
        padded, extent = size + pads[axis] + pads[axis + len(kernel)], (taps - 1) * dilation + 1
        if extent > padded:
            raise Refuse("attribute", f"a window of {extent} on {padded} values", "a window within the padded tensor")
