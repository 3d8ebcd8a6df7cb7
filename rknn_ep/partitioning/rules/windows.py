"""Kernel, strides, pads and dilations of convolutions and pooling, with their defaults filled in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rknn_ep.partitioning.rules.common import data, integers, shape, text
from rknn_ep.records import NodeFacts


@dataclass(frozen=True)
class Window:
    """A sliding window, one figure a spatial dimension (pads: all beginnings, then all ends)."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]


def window(node: NodeFacts, kernel: Sequence[int]) -> Window:
    """Read the window of a node; `auto_pad` is worked out from the shapes (ONNX, Conv: SAME_UPPER, SAME_LOWER)."""
    ones = [1] * len(kernel)
    strides, dilations = integers(node, "strides", ones), integers(node, "dilations", ones)
    pads = integers(node, "pads", [0] * (2 * len(kernel)))
    if (auto := text(node, "auto_pad", "NOTSET")).startswith("SAME"):
        before, after = [], []
        for size, taps, stride, dilation in zip(shape(data(node))[2:], kernel, strides, dilations, strict=True):
            total = max((-(-size // stride) - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
            small, large = total // 2, total - total // 2
            before.append(large if auto == "SAME_LOWER" else small)
            after.append(small if auto == "SAME_LOWER" else large)
        pads = before + after
    return Window(tuple(kernel), tuple(strides), tuple(pads), tuple(dilations))
