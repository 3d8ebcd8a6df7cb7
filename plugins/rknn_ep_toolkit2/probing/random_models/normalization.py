"""Normalisations and softmax."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rknn_ep_toolkit2.probing.random_models.dice import CHANNELS, Dice


def batch(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4, 4, 5)
    parameters = [dice.weight(shape[1], fill="uniform") for _ in range(4)]
    dice.node("BatchNormalization", [dice.input(shape), *parameters], epsilon=dice.pick((None, 1e-3)))


def instance(dice: Dice) -> None:
    shape = dice.shape(3, 4, 4)
    constant = dice.chance(0.8)
    parameters = [
        dice.weight(shape[1], fill="uniform") if constant else dice.input([shape[1]]),
        dice.weight(shape[1], fill="uniform") if constant else dice.input([shape[1]]),
    ]
    dice.node("InstanceNormalization", [dice.input(shape), *parameters])


def layer(dice: Dice) -> None:
    shape = dice.shape(2, 3, 3, 4)
    parameters = [dice.weight(shape[-1], fill="uniform") for _ in range(dice.pick((1, 2, 2)))]
    dice.node("LayerNormalization", [dice.input(shape), *parameters], epsilon=dice.pick((None, 1e-6)), axis=dice.pick((None, -1)))


def group(dice: Dice) -> None:
    dice.opset = 21
    channels = dice.pick((4, 8, 16, 32))
    x = dice.input([dice.pick((1, 1, 2)), channels, dice.integer(2, 40), dice.integer(2, 40)])
    parameters = [dice.weight(channels, fill="uniform") for _ in range(2)]
    dice.node("GroupNormalization", [x, *parameters], num_groups=dice.pick((1, 2, 4, channels)))


def lp(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    dice.node("LpNormalization", [dice.input(shape)], axis=dice.integer(0, len(shape) - 1), p=dice.pick((2, 2, 2, 1)))


def local_response(dice: Dice) -> None:
    dice.node("LRN", [dice.input([1, dice.pick(CHANNELS), dice.integer(2, 40), dice.integer(2, 40)])], size=dice.pick((3, 5)))


def along(op: str, dice: Dice) -> None:
    shape = dice.shape(*((1, 2, 3, 4, 4, 5) if op == "Softmax" else (2, 3, 4)))
    axis = dice.pick((-1, -1, 1 if len(shape) > 1 else 0, dice.integer(0, len(shape) - 1)))
    dice.node(op, [dice.input(shape)], axis=axis)


DRAWS: dict[str, Callable[[Dice], None]] = {
    "BatchNormalization": batch,
    "InstanceNormalization": instance,
    "LayerNormalization": layer,
    "GroupNormalization": group,
    "LpNormalization": lp,
    "LRN": local_response,
    "Softmax": partial(along, "Softmax"),
    "LogSoftmax": partial(along, "LogSoftmax"),
    "Hardmax": partial(along, "Hardmax"),
}
