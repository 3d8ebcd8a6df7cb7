"""Normalisations and what scales along an axis: batch, instance, layer, group, Lp, softmax."""

from __future__ import annotations

from math import prod

from rknn_ep.partitioning.rules.common import (
    UP_TO_FIVE,
    Case,
    Refuse,
    Rule,
    axis_of,
    computed,
    data,
    expect,
    fixed,
    float_types,
    integer,
    lowered,
    of_volumes,
    one_output,
    ranked,
    shape,
)
from rknn_ep.records import NodeFacts

SMALL = 4096
"""Values of an image up to which RV1106's NPU finds the largest ones of it."""


def batch(node: NodeFacts) -> Case:
    """Inference mode; a scale and shift by channel. The compiler dies when they are computed at run time."""
    float_types(node)
    one_output(node)
    expect(node, "training_mode", 0, 0)
    rank = ranked(data(node), 2, 3, 4, 5)
    if computed(node, 1, 2, 3, 4):
        return Case("l_BatchNormalization_dyn", note=lowered("Sub, Sqrt, Div, Mul, Add"))
    if shape(data(node))[0] > 1 == shape(data(node))[1]:
        return Case("BatchNormalization_one")
    return Case("BatchNormalization" if rank == 4 else f"BatchNormalization_{rank}d")


def instance(node: NodeFacts) -> Case:
    """Each plane by its own mean and variance."""
    float_types(node)
    rank = ranked(data(node), 3, 4)
    if computed(node, 1, 2):
        return Case("l_InstanceNormalization_dyn", note=lowered("InstanceNormalization, Mul, Add"))
    if shape(data(node))[1] == 1:
        return Case("InstanceNormalization_one")
    return Case("InstanceNormalization" if rank == 4 else "InstanceNormalization_3d")


def layer(node: NodeFacts) -> Case:
    """Along the last axis. The compiler wants the attribute epsilon written out (without it: KeyError)."""
    float_types(node)
    one_output(node)
    rank = ranked(data(node), 2, 3, 4)
    if axis_of(node, rank, -1) != rank - 1:
        raise Refuse("attribute", f"axis is {node.attributes.get('axis')} of rank {rank}", "axis = -1")
    if computed(node, 1, 2):
        return Case("LayerNormalization_dyn")
    note = "" if "epsilon" in node.attributes else "handed to the compiler with epsilon written out"
    return Case(f"LayerNorm_{rank}d_eps", note=note)


def group(node: NodeFacts) -> Case:
    """As an instance normalisation of the groups."""
    float_types(node)
    ranked(data(node), 4)
    fixed(node, 1, 2)
    return Case("l_GroupNormalization", note=lowered("Reshape, InstanceNormalization, Reshape, Mul, Add"))


def lp(node: NodeFacts) -> Case:
    """The Euclidean norm, or the sum of magnitudes, along one axis."""
    float_types(node)
    rank = ranked(data(node), 2, 3, 4)
    axis = axis_of(node, rank, -1)
    kind = "_2d_ax0" if axis == 0 and rank == 2 else "_ax0" if axis == 0 else "_2d" if rank < 4 else "_last" if axis == 3 else ""
    return Case(f"LpNormalization{kind}{'_p1' if integer(node, 'p', 2) == 1 else ''}")


def plane(node: NodeFacts) -> Case:
    """LRN and MeanVarianceNormalization: computed on the CPU side."""
    float_types(node)
    ranked(data(node), 4)
    return Case(node.op_type)


def softmax(node: NodeFacts) -> Case:
    """Along one axis."""
    float_types(node)
    rank = ranked(data(node), *UP_TO_FIVE)
    axis = axis_of(node, rank, -1)
    last = axis == rank - 1 or (rank == 3 and shape(data(node))[axis] == 1)
    if rank == 5:
        if axis == 0 and shape(data(node))[0] == 1:  # of some shapes every compiler fails
            raise Refuse("attribute", "along the first of five dimensions, a single value", "another axis")
        batch = "_batch" if shape(data(node))[0] > 1 else ""
        name = f"Softmax_5d{batch}" if last else f"Softmax_5d_inner{batch}"
    elif rank == 4:
        one = axis == 0 and shape(data(node))[0] == 1
        name = "Softmax_last" if last else "Softmax_ax2" if axis == 2 else "Softmax_ax0_one" if one else "Softmax"
    else:
        name = f"Softmax_{rank}d" if last else "Softmax_3d_ax1" if rank == 3 else "Softmax_2d_ax0"
    return Case(name, "Softmax", {"channels": (shape(data(node))[axis],)})


HARDMAX_OF_TWO = {(4, 1): "Hardmax_two", (4, 3): "Hardmax_last_two", (3, 1): "Hardmax_2d_two", (2, 1): "Hardmax_2d_two"}
"""Dimensions and axis -> the case of two values and of one, of which RV1106B's compiler dies."""


def one_of_many(node: NodeFacts) -> Case:
    """LogSoftmax and Hardmax."""
    float_types(node)
    rank = ranked(data(node), 1, 2, 3, 4)
    axis = axis_of(node, rank, -1)
    if node.op_type == "Hardmax":
        return Case(_hardmax(shape(data(node)), axis))
    return Case("LogSoftmax" if rank == 4 and axis == 1 else "LogSoftmax_2d")


def _hardmax(dims: tuple[int, ...], axis: int) -> str:
    """The case by the axis, how many values it has, and how many there are in all."""
    rank, size = len(dims), dims[axis]
    if (rank, axis, size) == (4, 1, 1):
        return "Hardmax_one"
    if (rank, axis) in HARDMAX_OF_TWO and size <= 2:
        return HARDMAX_OF_TWO[rank, axis]
    if rank < 4 or axis not in (1, 3):
        return "Hardmax_2d"
    small = prod(dims[1:]) <= SMALL
    if axis == 1:
        return "Hardmax_small" if small else "Hardmax"
    if size % 16:
        return "Hardmax_last_odd" if size % 8 else "Hardmax_last_8"
    return "Hardmax_last_small" if small else "Hardmax_last"


RULES: dict[str, Rule] = {
    "BatchNormalization": of_volumes(batch),
    "InstanceNormalization": instance,
    "LayerNormalization": layer,
    "GroupNormalization": group,
    "LpNormalization": lp,
    "LRN": plane,
    "MeanVarianceNormalization": plane,
    "Softmax": softmax,
    "LogSoftmax": one_of_many,
    "Hardmax": one_of_many,
}
