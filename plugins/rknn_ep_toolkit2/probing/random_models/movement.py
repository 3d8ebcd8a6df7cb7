"""What moves data: reshaping, transposing, joining, cutting, gathering, padding, resizing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod

from rknn_ep_toolkit2.probing.random_models.dice import CHANNELS, Dice


def reshape(dice: Dice) -> None:
    shape = dice.shape(1, 2, 3, 4, 4, 5)
    left, after = prod(shape), []
    for _ in range(dice.integer(0, 4)):
        factor = dice.pick([one for one in range(1, 65) if left % one == 0])
        after.append(factor)
        left //= factor
    dice.node("Reshape", [dice.input(shape), dice.whole([*after, left])])


def flatten(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    dice.node("Flatten", [dice.input(shape)], axis=dice.integer(0, len(shape) - 1))


def squeeze(dice: Dice) -> None:
    shape = dice.shape(3, 4, 5)
    axis = dice.integer(0, len(shape) - 1)
    shape[axis] = 1
    dice.node("Squeeze", [dice.input(shape), dice.whole([axis])])


def unsqueeze(dice: Dice) -> None:
    shape = dice.shape(1, 2, 3, 4)
    dice.node("Unsqueeze", [dice.input(shape), dice.whole([dice.integer(0, len(shape))])])


def transpose(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4, 4, 4, 5)
    permutation = [int(one) for one in dice.random.permutation(len(shape))]
    dice.node("Transpose", [dice.input(shape)], perm=permutation)


def concat(dice: Dice) -> None:
    shape = dice.shape(1, 2, 3, 4, 4, 5)
    axis = dice.pick((0 if len(shape) == 1 else 1, dice.integer(0, len(shape) - 1)))
    parts = []
    for _ in range(dice.pick((2, 2, 3, 4))):
        part = list(shape)
        if dice.chance(0.4):
            part[axis] = dice.integer(1, 40)
        parts.append(dice.input(part))
    dice.node("Concat", parts, axis=axis)


def split(dice: Dice) -> None:
    shape = dice.shape(1, 2, 3, 4, 4, 5)
    axis = dice.pick((0 if len(shape) == 1 else 1, dice.integer(0, len(shape) - 1)))
    parts = dice.pick((2, 2, 3, 4))
    shape[axis] = parts * dice.integer(1, 16)
    sizes = [shape[axis] // parts] * parts
    if sizes[0] > 1 and dice.chance(0.3):
        sizes[0], sizes[1] = sizes[0] - 1, sizes[1] + 1
    dice.node("Split", [dice.input(shape), dice.whole(sizes)], parts, axis=axis)


def slice_(dice: Dice) -> None:
    shape = dice.shape(1, 2, 3, 4, 4, 5)
    axes = sorted({dice.integer(0, len(shape) - 1) for _ in range(dice.pick((1, 1, 2)))})
    starts = [dice.integer(0, shape[axis] - 1) for axis in axes]
    ends = [dice.integer(start + 1, shape[axis]) for start, axis in zip(starts, axes, strict=True)]
    steps = [dice.pick((1, 1, 1, 1, 2, 3)) for _ in axes]
    dice.node("Slice", [dice.input(shape), dice.whole(starts), dice.whole(ends), dice.whole(axes), dice.whole(steps)])


def gather(dice: Dice) -> None:
    if dice.chance(0.15):
        table = dice.weight(dice.integer(10, 200), dice.pick((8, 32, 64)))
        dice.node("Gather", [table, dice.input([1, dice.integer(1, 40)], "INT64")])
        return
    shape = dice.shape(1, 2, 3, 4, 4)
    axis = dice.integer(0, len(shape) - 1)
    rank = dice.pick((0, 1, 1, 1, 2))
    if rank == 0 and len(shape) == 1:
        rank = 1
    sizes = [dice.integer(1, 6) for _ in range(rank)]
    indices = dice.random.integers(0, shape[axis], sizes).tolist()
    dice.node("Gather", [dice.input(shape), dice.whole(indices)], axis=axis)


def expand(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    before = [dim if dice.chance(0.6) else 1 for dim in shape]
    dice.node("Expand", [dice.input(before), dice.whole(shape)])


def tile(dice: Dice) -> None:
    shape = dice.shape(1, 2, 3, 4)
    dice.node("Tile", [dice.input(shape), dice.whole([dice.pick((1, 1, 2, 3)) for _ in shape])])


def pad(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4, 4, 4)
    axes = range(max(len(shape) - 2, 1), len(shape)) if dice.chance(0.8) else range(1, len(shape))
    before, after = [0] * len(shape), [0] * len(shape)
    for axis in axes:
        before[axis] = dice.integer(0, min(4, shape[axis] - 1))
        after[axis] = dice.integer(0, min(4, shape[axis] - 1))
    mode = dice.pick(("constant", "constant", "constant", "reflect", "edge"))
    value = [dice.scalar(dice.pick((0.0, 1.5)))] if mode == "constant" and dice.chance(0.3) else []
    pads = dice.whole([*before, *after])
    dice.node("Pad", [dice.input(shape), pads, *value], mode=mode)


def blocks(op: str, dice: Dice) -> None:
    size = dice.pick((2, 2, 3, 4))
    channels, rows, columns = dice.pick((1, 3, 4, 8)), dice.integer(1, 20), dice.integer(1, 20)
    if op == "DepthToSpace":
        x = dice.input([1, channels * size * size, rows, columns])
        dice.node(op, [x], blocksize=size, mode=dice.pick(("DCR", "CRD")))
    else:
        dice.node(op, [dice.input([1, channels, rows * size, columns * size])], blocksize=size)


def resize(dice: Dice) -> None:
    x = dice.input([dice.pick((1, 1, 2)), dice.pick(CHANNELS), dice.integer(2, 40), dice.integer(2, 40)])
    scale = dice.pick((2.0, 2.0, 2.0, 3.0, 4.0, 1.5, 0.5, 8.0))
    other = scale if dice.chance(0.8) else dice.pick((1.0, 2.0))
    mode = dice.pick(("nearest", "nearest", "linear", "linear", "cubic"))
    how = dice.pick(("asymmetric", "half_pixel", "half_pixel", "align_corners", "pytorch_half_pixel"))
    nearest = dice.pick(("floor", "round_prefer_floor")) if mode == "nearest" else None
    scales = dice.numbers(1.0, 1.0, scale, other)
    dice.node("Resize", [x, "", scales], mode=mode, coordinate_transformation_mode=how, nearest_mode=nearest)


def elements(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    axis = dice.integer(0, len(shape) - 1)
    picked = [*shape[:axis], dice.integer(1, shape[axis]), *shape[axis + 1 :]]
    if prod(picked) > 2000:
        picked = [1] * len(shape)
    indices = dice.random.integers(0, shape[axis], picked).tolist()
    dice.node("GatherElements", [dice.input(shape), dice.whole(indices)], axis=axis)


def reverse(dice: Dice) -> None:
    steps, batch = dice.integer(2, 20), dice.pick((1, 2, 4))
    x = dice.input([steps, batch, dice.integer(2, 64)])
    dice.node("ReverseSequence", [x, dice.whole([steps] * batch)], time_axis=0, batch_axis=1)


def triangle(dice: Dice) -> None:
    dice.node("Trilu", [dice.input([1, dice.pick((1, 4)), dice.integer(2, 40), dice.integer(2, 40)])], upper=dice.pick((0, 1)))


def sampled(dice: Dice) -> None:
    channels, rows, columns = dice.pick(CHANNELS), dice.integer(2, 24), dice.integer(2, 24)
    dice.node("GridSample", [dice.input([1, channels, rows, columns]), dice.input([1, rows, columns, 2])])


DRAWS: dict[str, Callable[[Dice], None]] = {
    "Reshape": reshape,
    "Flatten": flatten,
    "Squeeze": squeeze,
    "Unsqueeze": unsqueeze,
    "Transpose": transpose,
    "Concat": concat,
    "Split": split,
    "Slice": slice_,
    "Gather": gather,
    "Expand": expand,
    "Tile": tile,
    "Pad": pad,
    "DepthToSpace": partial(blocks, "DepthToSpace"),
    "SpaceToDepth": partial(blocks, "SpaceToDepth"),
    "Resize": resize,
    "GatherElements": elements,
    "ReverseSequence": reverse,
    "Trilu": triangle,
    "GridSample": sampled,
}
