"""auto_pad is worked out: whoever reads the graph after this meets pads."""

from __future__ import annotations

import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, done
from rknn_ep.graph.values import is_onnx, static_shape

WEIGHTS = {"Conv": 1, "ConvTranspose": 1, "QLinearConv": 3}
"""Which input gives the kernel's size where the attribute kernel_shape is not written."""
POOLS = ("MaxPool", "AveragePool", "LpPool")


class WritePads(GraphPass):
    """Write `pads` for `auto_pad` where the shapes are known (ONNX operator specification, Conv and ConvTranspose).

    Left as they are: pooling that rounds up as well (versions of ONNX disagree on it), transposed convolutions whose
    windows leave values out (their padding would be negative) or whose output shape is written.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """One look at every node."""
        return done(model, sum(_write(node) for node in model.graph if is_onnx(node, *WEIGHTS, *POOLS)))


def _write(node: ir.Node) -> bool:
    automatic = node.attributes.get_string("auto_pad", "NOTSET")
    if automatic == "NOTSET":
        return False
    pads = [] if automatic == "VALID" else _pads(node, last_is_larger=automatic == "SAME_UPPER")
    if pads is None:
        return False
    del node.attributes["auto_pad"]
    node.attributes.pop("pads", None)
    if any(pads):
        node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    return True


def _pads(node: ir.Node, last_is_larger: bool) -> list[int] | None:
    """All beginnings, then all ends; None where they cannot be said."""
    sizes, kernel = static_shape(node.inputs[0]), _kernel(node)
    if sizes is None or kernel is None or node.attributes.get_int("ceil_mode", 0) or "output_shape" in node.attributes:
        return None
    ones = [1] * len(kernel)
    strides, dilations = node.attributes.get_ints("strides", ones), node.attributes.get_ints("dilations", ones)
    further = node.attributes.get_ints("output_padding", [0] * len(kernel))
    totals = []
    for size, taps, stride, dilation, extra in zip(sizes[2:], kernel, strides, dilations, further, strict=True):
        extent = (taps - 1) * dilation + 1
        if node.op_type == "ConvTranspose":  # the output has size * stride values
            totals.append(stride * (size - 1) + extra + extent - size * stride)
        else:  # it has one for each stride begun
            totals.append(max((-(-size // stride) - 1) * stride + extent - size, 0))
    if min(totals) < 0:
        return None
    small, large = [total // 2 for total in totals], [total - total // 2 for total in totals]
    return [*small, *large] if last_is_larger else [*large, *small]


def _kernel(node: ir.Node) -> tuple[int, ...] | None:
    if "kernel_shape" in node.attributes:
        return tuple(node.attributes.get_ints("kernel_shape"))
    weight = static_shape(node.inputs[WEIGHTS[node.op_type]]) if node.op_type in WEIGHTS else None
    return None if weight is None else weight[2:]
