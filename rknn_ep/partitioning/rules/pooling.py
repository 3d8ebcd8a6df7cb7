"""Pooling over windows and over whole planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from rknn_ep.partitioning.rules.common import (
    FLOATS,
    Case,
    Refuse,
    Rule,
    data,
    float_types,
    integer,
    integers,
    lowered,
    of_volumes,
    one_output,
    ranked,
    shape,
)
from rknn_ep.partitioning.rules.windows import Window, window
from rknn_ep.records import NodeFacts

LARGEST_DILATED = 8
"""Wider dilated windows are left to the CPU side."""
LISTED = 7
"""The vendor's largest kernel and stride: above it pooling becomes a depthwise convolution, in float16 for LpPool. Of even
strides several compilers die at int8."""
LARGEST_PLANES = 26784
"""Values of an image whose planes are no multiple of 16, above which RK2118's compiler does not come to an end where planes are
low and wide: 26 x 62 and 27 x 61 were asked, and 30 x 31, 31 x 54 and higher ones, of which it does."""
LOW, WIDE = 30, 55


def max_pool(node: NodeFacts) -> Case:
    """One or two dimensions; with indices it is computed on the CPU side; the compiler dies on three."""
    indices = len(node.outputs) > 1 and bool(node.outputs[1].name)
    float_types(node, outputs=("FLOAT", "FLOAT16", "INT64") if indices else FLOATS)
    rank = ranked(data(node), 3, 4, 5)
    area = window(node, integers(node, "kernel_shape", ()))
    if rank == 5:
        return Case("MaxPool_3d")
    if indices:
        return _case("MaxPool_idx", "", node, area)
    if set(area.dilations) != {1}:
        return _case(f"MaxPool_dil{'_k9' if max(area.kernel) > LARGEST_DILATED else ''}", "MaxPool", node, area)
    if rank == 3:
        return _case("MaxPool1d", "MaxPool", node, area)
    if _rounded_up(node, area):
        kind = "_beyond" if _beyond(node, area) else "_apart" if _apart(area) else ""
        return _case(f"MaxPool_ceil{kind}", "MaxPool", node, area)
    return _case("MaxPool_s8" if _wide_even(area) and min(area.kernel) == 1 else "MaxPool", "MaxPool", node, area)


def _wide_even(area: Window) -> bool:
    """Whether a stride becomes a convolution's that several compilers cannot do."""
    return any(stride > LISTED and stride % 2 == 0 for stride in area.strides)


def _apart(area: Window) -> bool:
    """Whether windows leave values out between them."""
    return any(stride > size for stride, size in zip(area.strides, area.kernel, strict=True))


def _rounded_up(node: NodeFacts, area: Window) -> bool:
    """Whether ceil_mode is set and makes a window more."""
    return integer(node, "ceil_mode", 0) == 1 and any(span % stride for span, stride, _ in _spans(node, area))


def _beyond(node: NodeFacts, area: Window) -> bool:
    """Whether rounding up makes a last window that begins behind the tensor, on which versions of ONNX disagree."""
    return any(-(-span // stride) * stride >= end for span, stride, end in _spans(node, area))


def _spans(node: NodeFacts, area: Window) -> list[tuple[int, int, int]]:
    """For each axis: how far a window can move, the stride, and where the tensor ends; all from the padding's beginning."""
    axes, found = len(area.kernel), []
    for axis, size in enumerate(shape(data(node))[2:]):
        end = size + area.pads[axis]
        found.append((end + area.pads[axis + axes] - area.kernel[axis], area.strides[axis], end))
    return found


def average_pool(node: NodeFacts) -> Case:
    """On the NPU; a mean that leaves padding out is handed on as one that counts it, times a constant plane."""
    float_types(node)
    rank = ranked(data(node), 3, 4, 5)
    area = window(node, integers(node, "kernel_shape", ()))
    if set(area.dilations) != {1}:
        raise Refuse("attribute", f"dilations are {list(area.dilations)}", "dilations = 1")
    padded, counted, ceil = any(area.pads), integer(node, "count_include_pad", 0) == 1, _rounded_up(node, area)
    if ceil and _beyond(node, area):  # a mean of nothing, or none at all; in one dimension some compilers refuse it
        raise Refuse("attribute", "ceil_mode makes a last window that begins behind the tensor", "every window begins inside")
    if rank == 5:
        if padded or ceil:  # asked, and run in the vendor's simulator: it fails, or gives other numbers at the border
            raise Refuse("attribute", "pads or ceil_mode in three dimensions, where the numbers are wrong", "neither")
        return _case("AveragePool_3d", "AveragePool", node, area)
    if rank == 3:
        kind = "_ceil" if ceil else "_pad" if padded and not counted else "_incpad" if padded else ""
        if kind in ("", "_incpad") and _wide_even(area):
            kind = "_s8"
        return _case(f"AveragePool1d{kind}", "AveragePool", node, area)
    if padded and not counted and not ceil:
        name = "AveragePool_s8" if _wide_even(area) else "l_AveragePool_pad"
        return replace(_case(name, "AveragePool", node, area), note=lowered("AveragePool that counts padding, Mul"))
    if ceil:
        kind = ("_incpad" if counted else "_pad") if padded else "_apart" if _apart(area) else ""
        return _case(f"AveragePool_ceil{kind}", "AveragePool", node, area)
    kind = "_s8" if _wide_even(area) else "_incpad" if padded else "_nopad"
    return _case(f"AveragePool{kind}", "AveragePool", node, area)


def lp_pool(node: NodeFacts) -> Case:
    """The Euclidean one as a mean of squares; others are computed on the CPU side."""
    float_types(node)
    rank = ranked(data(node), 3, 4, 5)
    area = window(node, integers(node, "kernel_shape", ()))
    kind = "" if rank == 4 else f"_{rank - 2}d"
    if integer(node, "p", 2) != 2 or integer(node, "ceil_mode", 0) or set(area.dilations) != {1}:
        return Case(f"LpPool{kind}")
    if rank < 5 and max(area.kernel) > LISTED:
        kind += "_k9"
    images, channels = shape(data(node))[:2]
    if rank == 5 and (images > 1 or channels == 1):
        kind = "_3d_batch" if images > 1 else "_3d_one"
    if rank < 5 and max(area.strides) > LISTED:
        kind = "_s8" if _wide_even(area) else "_s9" if rank == 4 else "_1d_s9"
    return replace(
        _case(f"l_LpPool{kind}", "AveragePool", node, area), note=lowered("Mul, AveragePool that counts the padding, Mul, Sqrt")
    )


def global_pool(node: NodeFacts) -> Case:
    """Over whole planes or lines; the compiler splits what the native operator cannot take at once (up to 120x120)."""
    float_types(node)
    one_output(node)
    rank = ranked(data(node), 3, 4, 5)
    _, channels, *sizes = shape(data(node))
    if node.op_type == "GlobalMaxPool" and rank == 4 and _endless(channels, sizes):
        return Case("GlobalMaxPool_odd")
    if node.op_type == "GlobalMaxPool" and rank == 3 and channels == 1:
        return Case("GlobalMaxPool_3d_one")
    return Case(node.op_type if rank == 4 else f"{node.op_type}_{rank}d")


def _endless(channels: int, sizes: Sequence[int]) -> bool:
    low_and_wide = sizes[0] < LOW and sizes[1] >= WIDE
    return low_and_wide and prod(sizes) % 16 != 0 and channels * prod(sizes) > LARGEST_PLANES


def max_unpool(node: NodeFacts) -> Case:
    """Undoes a pooling by its indices, on the CPU side."""
    ranked(data(node), 4)
    if len(node.inputs) > 2:
        raise Refuse("attribute", "output_shape is given", "no output_shape")
    return Case("MaxUnpool")


def _case(name: str, native: str, node: NodeFacts, area: Window) -> Case:
    _, channels, *planes = shape(data(node))
    figures = {"kernel": area.kernel, "stride": area.strides, "pad": area.pads, "channels": (channels,), "plane": planes}
    return Case(name, native, figures)


RULES: dict[str, Rule] = {
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "LpPool": lp_pool,
    "GlobalAveragePool": global_pool,
    "GlobalMaxPool": of_volumes(global_pool),
    "GlobalLpPool": global_pool,
    "MaxUnpool": max_unpool,
}
