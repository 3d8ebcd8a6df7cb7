"""Pooling over windows and over whole planes."""

from __future__ import annotations

from dataclasses import replace

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
    one_output,
    ranked,
    shape,
)
from rknn_ep.partitioning.rules.windows import Window, window
from rknn_ep.records import NodeFacts


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
        return _case("MaxPool_dil", "MaxPool", node, area)
    return _case(
        "MaxPool1d" if rank == 3 else "MaxPool_ceil" if integer(node, "ceil_mode", 0) else "MaxPool", "MaxPool", node, area
    )


def average_pool(node: NodeFacts) -> Case:
    """On the NPU; a mean that leaves padding out is handed on as one that counts it, times a constant plane."""
    float_types(node)
    rank = ranked(data(node), 3, 4, 5)
    area = window(node, integers(node, "kernel_shape", ()))
    if set(area.dilations) != {1}:
        raise Refuse("attribute", f"dilations are {list(area.dilations)}", "dilations = 1")
    padded, counted, ceil = any(area.pads), integer(node, "count_include_pad", 0) == 1, integer(node, "ceil_mode", 0) == 1
    if rank != 4:
        if padded or ceil:
            raise Refuse("attribute", f"pads or ceil_mode in {rank - 2} dimensions", "neither, outside two dimensions")
        return _case("AveragePool1d" if rank == 3 else "AveragePool_3d", "AveragePool", node, area)
    if padded and not counted and not ceil:
        return replace(
            _case("l_AveragePool_pad", "AveragePool", node, area), note=lowered("AveragePool that counts padding, Mul")
        )
    return _case(
        "AveragePool_ceil" if ceil else "AveragePool_incpad" if padded else "AveragePool_nopad", "AveragePool", node, area
    )


def lp_pool(node: NodeFacts) -> Case:
    """The Euclidean one as a mean of squares; others are computed on the CPU side."""
    float_types(node)
    ranked(data(node), 4)
    area = window(node, integers(node, "kernel_shape", ()))
    if integer(node, "p", 2) != 2 or integer(node, "ceil_mode", 0) or set(area.dilations) != {1}:
        return Case("LpPool")
    return replace(
        _case("l_LpPool", "AveragePool", node, area), note=lowered("Mul, AveragePool that counts the padding, Mul, Sqrt")
    )


def global_pool(node: NodeFacts) -> Case:
    """Over whole planes or lines; the compiler splits what the native operator cannot take at once (up to 120x120)."""
    float_types(node)
    one_output(node)
    if node.op_type == "GlobalLpPool":
        ranked(data(node), 3, 4)
        return Case("GlobalLpPool")
    rank = ranked(data(node), *((3, 4, 5) if node.op_type == "GlobalAveragePool" else (3, 4)))
    return Case(node.op_type if rank == 4 else f"{node.op_type}_{rank}d")


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
    "GlobalMaxPool": global_pool,
    "GlobalLpPool": global_pool,
    "MaxUnpool": max_unpool,
}
