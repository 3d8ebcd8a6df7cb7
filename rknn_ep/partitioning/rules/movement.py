"""Operators that move data: shape changes, transposition, joining, cutting, gathering, padding.

The compiler folds up to five dimensions into four and back; six were probed for Reshape and Transpose only.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from rknn_ep.partitioning.rules.common import (
    FLOATS,
    MAX_RANK,
    UP_TO_FIVE,
    Case,
    Refuse,
    Rule,
    axis_of,
    data,
    fixed,
    float_types,
    given,
    integer,
    integers,
    lowered,
    of_volumes,
    ranked,
    shape,
    text,
    typed,
    values,
)
from rknn_ep.records import NodeFacts

UP_TO_SIX = tuple(range(1, 7))


def reshape(node: NodeFacts) -> Case:
    """Reshape, Flatten, Squeeze, Unsqueeze: the new shape is static, so whatever described it does not matter."""
    typed(data(node), FLOATS)
    fixed(node, 1)
    return reshaped(node)


def reshaped(node: NodeFacts) -> Case:
    """What a node is that changes no value, only the shape: any operator may be one.

    On RK3588 the NPU wants the plane of a channel to be a multiple of 16 values (at float16 of 8) wherever there are four
    dimensions. Tensors of other ranks lie plainly: at float16 nothing is to be done then; at int8, where they come in four
    dimensions out of the operator before, one image must be a multiple of 16. (200 drawn shapes, RKNN-Toolkit2 2.5.0.)
    """
    before, after = shape(data(node)), shape(node.outputs[0])
    ranks = ranked(data(node), *UP_TO_SIX), ranked(node.outputs[0], *UP_TO_SIX)
    if max(ranks) == 6:
        return Case("Reshape_6d")
    planes = [prod(dims[2:]) for dims in (before, after) if len(dims) == 4]
    if not planes:
        images = [prod(dims[1:]) if len(dims) > 1 else dims[0] for dims in (before, after)]
        even = ranks == (1, 1) or all(image % 16 == 0 for image in images)
        return Case("Reshape_1d" if even else "Reshape_2d3d")
    if before == after:
        return Case("Reshape_same")
    if planes == [1] and 1 in (before[0], after[0]):
        return Case("Reshape_1x1")
    if all(plane % 16 == 0 for plane in planes):
        return Case("Reshape")
    return Case("Reshape_8" if all(plane % 8 == 0 for plane in planes) else "Reshape_odd")


def unchanged(node: NodeFacts) -> bool:
    """Whether as many values leave as come in: Tile by 1, Slice of everything, a reduction of single values."""
    return prod(shape(data(node))) == prod(shape(node.outputs[0]))


def transpose(node: NodeFacts) -> Case:
    """Any permutation; six dimensions go to the CPU side. RK3566 swaps what comes in multiples of 4 and 8."""
    float_types(node)
    rank = ranked(data(node), *UP_TO_SIX)
    dims = shape(data(node))
    permutation = integers(node, "perm", range(rank)[::-1])
    moved = [axis for axis in permutation if dims[axis] > 1 or rank > 3]
    if moved == sorted(moved):  # of three dimensions and less, the compiler reshapes where only single values change places
        return reshaped(node)
    if rank == 2:
        return Case(f"Transpose_2d{_evenness(dims)}")
    if permutation == [0, 2, 1]:
        return Case(f"Transpose_3d{_evenness(dims[1:])}")
    if rank == 3:
        one = "_one" if permutation == [2, 1, 0] and dims[0] == 1 else ""
        return Case(f"Transpose_3d_{''.join(map(str, permutation))}{one}")
    if rank != 4:
        return Case(f"Transpose_{max(rank, 2)}d")
    if permutation == [0, 3, 2, 1]:
        return Case(f"Transpose_0321{_evenness((dims[1], dims[3]))}")
    if permutation == [0, 1, 3, 2] and dims[3] % 2:
        return Case("Transpose_0132_odd")
    names: dict[tuple[int, ...], str] = {
        (0, 3, 1, 2): "Transpose_0312",
        (0, 2, 1, 3): "Transpose_0213",
        (1, 0, 2, 3): "Transpose_1023_one" if dims[0] == 1 else "Transpose_1023",
    }
    return Case(names.get(tuple(permutation), "Transpose"))


def _evenness(swapped: Sequence[int]) -> str:
    """Of two dimensions that change places: multiples of 8, of 4, or neither."""
    return next((kind for kind, unit in (("", 8), ("_4", 4)) if all(size % unit == 0 for size in swapped)), "_odd")


def concat(node: NodeFacts) -> Case:
    """Float tensors along any axis."""
    float_types(node)
    rank = ranked(node.outputs[0], *UP_TO_FIVE)
    axis = axis_of(node, rank, 0)
    parts = [shape(tensor)[axis] for tensor in node.inputs if tensor is not None]
    if case := _many_odd_parts("Concat", rank, axis, parts):
        return case
    if rank != 4:
        return Case(f"Concat_{rank}d")
    if axis != 1:
        return Case(f"Concat_ax{axis}")
    return Case("Concat" if len(set(parts)) == 1 else "Concat_uneven")


def split(node: NodeFacts) -> Case:
    """Constant sizes."""
    float_types(node)
    fixed(node, 1)
    rank = ranked(data(node), *UP_TO_FIVE)
    axis = axis_of(node, rank, 0)
    parts = [shape(tensor)[axis] for tensor in node.outputs]
    if case := _many_odd_parts("Split", rank, axis, parts):
        return case
    if rank != 4:
        return Case(f"Split_{rank}d")
    return Case("Split" if len(set(parts)) == 1 else "Split_uneven")


def _many_odd_parts(op_type: str, rank: int, axis: int, parts: Sequence[int]) -> Case | None:
    """Three and more parts along the axis that the compiler takes for channels, one no multiple of 4: RV1106B's dies of it."""
    if len(parts) < 3 or axis != (1 if rank > 2 else 0) or all(part % 4 == 0 for part in parts):
        return None
    return None if rank == MAX_RANK else Case(f"{op_type}_1d_three" if rank == 1 else f"{op_type}_uneven_three")


def cut(node: NodeFacts) -> Case:
    """Slice with constant bounds; a step above 1 is taken by the CPU side."""
    float_types(node)
    rank = ranked(data(node), *UP_TO_FIVE)
    fixed(node, 1, 2, 3, 4)
    steps = values(node, 4) or [1]
    if min(steps) < 1:
        raise Refuse("attribute", f"steps are {steps}", "steps of 1 or more (what the NPU does with others was not checked)")
    if unchanged(node):
        return reshaped(node)
    if max(steps) > 1:
        return Case("Slice_step2")
    if rank == 5 and shape(data(node))[0] == shape(node.outputs[0])[0]:
        if shape(data(node))[0] == 1:
            return Case("Slice_5d_3")
        return Case("Slice_5d_last" if shape(data(node))[4] != shape(node.outputs[0])[4] else "Slice_5d_1")
    if rank == 3 and shape(data(node))[0] != shape(node.outputs[0])[0]:
        return Case("Slice_3d_batch")
    return Case("Slice" if rank == 4 else f"Slice_{rank}d")


def gather(node: NodeFacts) -> Case:
    """Constant indices choose on the NPU, an embedding by computed ones is looked up on the CPU side.

    Indices that follow each other are a slice, others a convolution, which some SoCs have for channels alone.
    """
    source, indices = data(node, 0), data(node, 1)
    typed(source, FLOATS)
    if indices.constant is None:
        typed(indices, ("INT32", "INT64"))
        if source.constant is None:
            raise Refuse("constant", "both the data and the indices are computed at run time", "one of them is constant")
        return Case("Gather_embed")
    rank = ranked(source, *UP_TO_FIVE)
    ranked(node.outputs[0], *UP_TO_FIVE)
    if rank == MAX_RANK:
        return Case("Gather_5d" if shape(source)[0] == 1 or axis_of(node, rank, 0) == 0 else "Gather_5d_batch")
    if indices.constant.ndim == 0:
        return Case("Gather_scalar")
    if axis_of(node, rank, 0) != (1 if rank > 2 else 0) and not _one_run(indices.constant):
        return Case("Gather_far")
    return Case("Gather" if indices.constant.ndim == 1 else "Gather_2d_idx")


def _one_run(indices: np.ndarray[Any, Any]) -> bool:
    """Whether the indices follow each other, so that the compiler cuts a slice."""
    return bool((np.diff(indices.reshape(-1)) == 1).all())


def indexed(node: NodeFacts) -> Case:
    """GatherElements, GatherND, ScatterND, ScatterElements with constant indices."""
    typed(data(node), FLOATS)
    ranked(data(node), 1, 2, 3, 4)
    fixed(node, 1)
    if text(node, "reduction", "none") != "none" or integer(node, "batch_dims", 0):
        raise Refuse("attribute", "reduction or batch_dims is set", "neither is set")
    if node.op_type == "GatherElements" and unchanged(node) and shape(data(node))[integer(node, "axis", 0)] == 1:
        return reshaped(node)
    if node.op_type == "GatherElements" and data(node, 1).constant is not None and prod(shape(data(node, 1))) == 1:
        return Case("GatherElements_one")
    return Case(node.op_type)


def spread(node: NodeFacts) -> Case:
    """Expand and Tile to a static shape."""
    typed(data(node), FLOATS)
    fixed(node, 1)
    rank = ranked(node.outputs[0], 1, 2, 3, 4)
    if unchanged(node):
        return reshaped(node)
    after = shape(node.outputs[0])
    before = (1,) * (rank - len(shape(data(node)))) + shape(data(node))
    wider = [axis for axis in range(rank) if before[axis] != after[axis]]
    batch = "_batch" if wider == [0] and rank > 2 else ""
    if all(before[axis] == 1 for axis in wider):
        return Case(f"Expand{'' if rank == 4 else '_3d'}{batch}")
    return Case(f"Tile{batch}" if rank == 4 else "Tile_2d")


def pad(node: NodeFacts) -> Case:
    """Constant amounts."""
    float_types(node)
    fixed(node, 1, 2, 3)
    rank = ranked(data(node), 2, 3, 4)
    if given(node, 3) is not None:
        raise Refuse("attribute", "axes are given", "pads for every axis")
    amounts = values(node, 1) if len(node.inputs) > 1 else integers(node, "pads", ())
    if amounts and min(amounts) < 0:
        return Case("Pad_neg")
    mode = text(node, "mode", "constant")
    if mode == "wrap":
        raise Refuse("attribute", "mode is wrap", "mode constant, reflect or edge")
    kind = "" if rank == 4 else "_3d_both" if rank == 3 and amounts and (amounts[1] or amounts[4]) else f"_{rank}d"
    if mode == "constant":
        if kind == "_3d_both" and amounts and not (amounts[2] or amounts[5]):
            kind = "_3d_channel"
        return Case(f"Pad{kind or _channels_padded(amounts or ())}")
    if not kind and amounts and (amounts[1] or amounts[5]):
        kind = "_channel"
    sizes = (1,) * (4 - rank) + shape(data(node))
    figures = {"channels": (sizes[1],), "height": (sizes[2],), "width": (sizes[3],)}
    return Case(f"Pad_{mode}{kind}", "PadReflect" if mode == "reflect" else "", figures)


def _channels_padded(amounts: Sequence[int]) -> str:
    """Whether channels are added, behind only or in front as well, and planes are made larger with them."""
    if not amounts or not (amounts[1] or amounts[5]):
        return "_const"
    if not amounts[1]:
        return "_channel_end"
    if not any(amounts[axis] for axis in (2, 3, 6, 7)):
        return "_channel"
    unit = next((unit for unit in (16, 8, 4) if amounts[1] % unit == 0), "odd")
    return f"_channel_plane_{unit}"


def blocks(node: NodeFacts) -> Case:
    """DepthToSpace and SpaceToDepth."""
    float_types(node)
    ranked(data(node), 4)
    if node.op_type == "SpaceToDepth":
        return Case("l_SpaceToDepth", note=lowered("Conv"))
    if integer(node, "blocksize", 1) not in (2, 4):
        return Case("DepthToSpace_3")
    return Case("DepthToSpace_CRD" if text(node, "mode", "DCR") == "CRD" else node.op_type)


def reverse_sequence(node: NodeFacts) -> Case:
    """Constant lengths."""
    typed(data(node), FLOATS)
    ranked(data(node), 2, 3, 4)
    fixed(node, 1)
    return Case("ReverseSequence")


def triangle(node: NodeFacts) -> Case:
    """Trilu with a constant diagonal: computed on the CPU side."""
    typed(data(node), FLOATS)
    fixed(node, 1)
    ranked(data(node), 2, 3, 4)
    return Case("Trilu")


def one_hot(node: NodeFacts) -> Case:
    """Computed indices, constant depth and values: looked up on the CPU side."""
    typed(data(node), (*FLOATS, "INT32", "INT64"))
    typed(node.outputs[0], FLOATS)
    fixed(node, 1, 2)
    if given(node, 2) is None:
        raise Refuse("attribute", "no values are given", "values are given")
    return Case("OneHot")


RULES: dict[str, Rule] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze"), of_volumes(reshape)),
    **dict.fromkeys(("GatherElements", "GatherND", "ScatterND", "ScatterElements"), indexed),
    **dict.fromkeys(("Expand", "Tile"), spread),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), blocks),
    "Transpose": transpose,
    "Concat": of_volumes(concat),
    "Split": split,
    "Slice": cut,
    "Gather": gather,
    "Pad": pad,
    "ReverseSequence": reverse_sequence,
    "Trilu": triangle,
    "OneHot": one_hot,
}
