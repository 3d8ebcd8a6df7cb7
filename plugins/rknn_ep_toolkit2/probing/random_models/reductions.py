"""Reductions, arg-reductions, running sums, the largest k."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rknn_ep.partitioning.rules.reduction import REDUCTIONS
from rknn_ep_toolkit2.probing.random_models.dice import Dice


def reduce(op: str, dice: Dice) -> None:
    shape = dice.shape(2, 3, 4, 4)
    axes = sorted({dice.integer(0, len(shape) - 1) for _ in range(dice.pick((1, 1, 2)))})
    if len(shape) == 4 and dice.chance(0.3):
        axes = [2, 3]
    if dice.chance(0.3):
        axes = [axis - len(shape) for axis in axes]
    keep = dice.pick((0, 1))
    x = dice.input(shape)
    if op == "ReduceSum":
        dice.node(op, [x, dice.whole(axes)], keepdims=keep)
    else:
        dice.node(op, [x], axes=axes, keepdims=keep)


def arg(op: str, dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    dice.node(op, [dice.input(shape)], axis=dice.integer(0, len(shape) - 1), keepdims=dice.pick((0, 1)))


def running(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    axis = dice.whole(dice.integer(0, len(shape) - 1))
    reverse = 1 if dice.chance(0.2) else None
    exclusive = 1 if dice.chance(0.2) else None
    dice.node("CumSum", [dice.input(shape), axis], reverse=reverse, exclusive=exclusive)


def top(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    axis = dice.integer(0, len(shape) - 1)
    dice.node("TopK", [dice.input(shape), dice.whole([dice.integer(1, min(shape[axis], 10))])], 2, axis=axis)


DRAWS: dict[str, Callable[[Dice], None]] = {
    **{f"Reduce{name}": partial(reduce, f"Reduce{name}") for name in REDUCTIONS},
    "ArgMax": partial(arg, "ArgMax"),
    "ArgMin": partial(arg, "ArgMin"),
    "CumSum": running,
    "TopK": top,
}
