"""Reductions along axes, arg-reductions, running sums, the largest k."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from rknn_ep.partitioning.rules.common import (
    FLOATS,
    Case,
    Refuse,
    Rule,
    data,
    fixed,
    float_types,
    integer,
    integers,
    lowered,
    ranked,
    shape,
    typed,
    values,
)
from rknn_ep.partitioning.rules.movement import unchanged
from rknn_ep.records import NodeFacts

REDUCTIONS = ["Max", "Min", "Mean", "Sum", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"]


LOWERED = {
    "ReduceL1": "Abs, ReduceSum",
    "ReduceSumSquare": "Mul, ReduceSum",
}
"""Operators that the compiler leaves to the CPU side and that are NPU operators when written out."""
SUMS = frozenset({"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"})
"""Over planes they are convolutions by kernels as large."""
LARGEST_KERNEL = 1600
"""Values of a plane, 40 x 40, above which RK2118's compiler may die of such a kernel."""
PLAIN = frozenset({"ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum"})
"""Of a single value, they are that value."""


def reduce(node: NodeFacts) -> Case:
    """Axes are constant; which of them matters."""
    float_types(node)
    rank = ranked(data(node), 1, 2, 3, 4)
    axes = values(node, 1) if len(node.inputs) > 1 else integers(node, "axes", ())
    if not axes and integer(node, "noop_with_empty_axes", 0):
        raise Refuse("attribute", "noop_with_empty_axes without axes", "axes are given")
    along = sorted(axis % rank for axis in axes or range(rank))
    if node.op_type in LOWERED:
        return Case(f"l_{node.op_type}{_configuration(node, rank, along)}", note=lowered(LOWERED[node.op_type]))
    if node.op_type not in (*PLAIN, "ReduceL2"):
        return Case(node.op_type)
    return Case(f"{node.op_type}{_configuration(node, rank, along)}")


def _configuration(node: NodeFacts, rank: int, along: Sequence[int]) -> str:
    if unchanged(node) and rank > 1:
        kept = "" if integer(node, "keepdims", 1) else "_nokeep"
        if node.op_type in PLAIN:
            return f"_one_{rank}d{kept}"
        if node.op_type == "ReduceSumSquare" and rank == 3 and list(along) == [0]:
            return "_one_3d"  # at int8 no compiler comes to an end
        inner = (list(along) != [0] or rank <= 2) and (node.op_type == "ReduceL2" or bool(kept))
        return "_one_inner" if inner else "_one"
    if rank <= 2:
        return "_2d"
    channels_alone = node.op_type != "ReduceMax" or list(along) == [1]  # of others RK3576's NPU finds no maximum
    if rank == 3:
        return "_3d_last" if along == [2] or not channels_alone else "_3d_1"
    return _of_planes(node, along)


def _of_planes(node: NodeFacts, along: Sequence[int]) -> str:
    """Four dimensions."""
    if along == [3]:
        return "_ax3"
    if along == [2, 3]:
        if node.op_type in SUMS and prod(shape(data(node))[2:]) > LARGEST_KERNEL:
            return "_planes"
        return "_hw" if integer(node, "keepdims", 1) and node.op_type in ("ReduceMean", "ReduceMax") else "_nokeep"
    if node.op_type == "ReduceMax" and list(along) != [1]:
        return "_ax2"
    return "18" if node.op_type == "ReduceMean" and len(along) > 1 else ""


def arg_reduce(node: NodeFacts) -> Case:
    """An index, computed on the CPU side."""
    float_types(node, outputs=("INT64",))
    ranked(data(node), 1, 2, 3, 4)
    return Case(node.op_type)


def cumulative_sum(node: NodeFacts) -> Case:
    """Along a constant axis: a product with a triangular matrix."""
    float_types(node)
    rank = ranked(data(node), 1, 2, 3, 4)
    fixed(node, 1)
    if integer(node, "exclusive", 0):
        (axis,) = values(node, 1) or (0,)
        if shape(data(node))[axis] == 1:
            raise Refuse("attribute", "exclusive along a single value", "more than one value")
        return Case("CumSum_excl")
    return Case("CumSum_rev" if integer(node, "reverse", 0) else "CumSum_2d" if rank < 3 else "CumSum")


def top_k(node: NodeFacts) -> Case:
    """Values and indices, computed on the CPU side."""
    typed(data(node), FLOATS)
    fixed(node, 1)
    ranked(data(node), 1, 2, 3, 4)
    return Case("TopK")


RULES: dict[str, Rule] = {
    **{f"Reduce{name}": reduce for name in REDUCTIONS},
    "ArgMax": arg_reduce,
    "ArgMin": arg_reduce,
    "CumSum": cumulative_sum,
    "TopK": top_k,
}
