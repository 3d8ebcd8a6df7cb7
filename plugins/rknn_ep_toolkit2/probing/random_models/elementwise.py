"""Activations, arithmetic, comparisons, selection."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rknn_ep.partitioning.rules.elementwise import COMPARISONS, UNARY
from rknn_ep_toolkit2.probing.random_models.dice import Dice

RANKS = (1, 2, 3, 4, 4, 4, 5)


def unary(op: str, dice: Dice) -> None:
    attributes: dict[str, Any] = {}
    if op in ("Elu", "LeakyRelu", "ThresholdedRelu", "Celu") and dice.chance(0.5):
        attributes["alpha"] = dice.number(0.05, 2.0)
    if op == "HardSigmoid" and dice.chance(0.5):
        attributes |= {"alpha": dice.number(0.1, 0.5), "beta": dice.number(0.2, 0.7)}
    dice.node(op, [dice.input(dice.shape(*RANKS))], **attributes)


def clip(dice: Dice) -> None:
    x = dice.input(dice.shape(*RANKS))
    low, high = dice.number(-2, 0.0), dice.number(0.5, 6)
    bounds = dice.pick((("low", "high"), ("low", ""), ("", "high"), ("zero", "six")))
    made = {"low": low, "high": high, "zero": 0.0, "six": 6.0}
    dice.node("Clip", [x, *(dice.scalar(made[bound]) if bound else "" for bound in bounds)])


def prelu(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4, 4)
    slope = dice.pick(([1], [shape[1], *[1] * (len(shape) - 2)]))
    dice.node("PRelu", [dice.input(shape), dice.operand(slope, constant=0.8)])


def shrink(dice: Dice) -> None:
    lambd = dice.number(0.1, 1.0)
    dice.node("Shrink", [dice.input(dice.shape(*RANKS))], lambd=lambd, bias=dice.pick((lambd, 0.0)))


def arithmetic(op: str, dice: Dice) -> None:
    shape = dice.shape(*RANKS)
    operands = [dice.input(shape), dice.operand(dice.broadcast(shape))]
    if op in ("Max", "Min", "Sum", "Mean") and dice.chance(0.3):
        operands.append(dice.input(shape))
    if dice.chance(0.3):
        operands.reverse()
    dice.node(op, operands, **({"fmod": 1} if op == "Mod" else {}))


def by_number(op: str, dice: Dice) -> None:
    """One operand is a number."""
    x, number = dice.input(dice.shape(*RANKS)), dice.scalar(dice.number(0.1, 4.0))
    dice.node(op, [number, x] if dice.chance(0.3) else [x, number])


def power(dice: Dice) -> None:
    shape = dice.shape(*RANKS)
    exponent = dice.scalar(dice.pick((2.0, 3.0, 0.5, 1.5, -1.0, 4.0))) if dice.chance(0.7) else dice.input(dice.broadcast(shape))
    dice.node("Pow", [dice.input(shape), exponent])


def comparison(op: str, dice: Dice) -> None:
    shape = dice.shape(*RANKS)
    dice.node(op, [dice.input(shape), dice.operand(dice.broadcast(shape))])


def logic(op: str, dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    dice.node(op, [dice.input(shape, "BOOL") for _ in range(1 if op == "Not" else 2)])


def test_number(op: str, dice: Dice) -> None:
    dice.node(op, [dice.input(dice.shape())])


def where(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    dice.node("Where", [dice.input(shape, "BOOL"), dice.operand(shape), dice.input(dice.broadcast(shape))])


def cast(dice: Dice) -> None:
    dice.node("Cast", [dice.input(dice.shape())], to=dice.pick((9, 10, 6)))


ACTIVATIONS: dict[str, Callable[[Dice], None]] = {
    **{op: partial(unary, op) for op in UNARY},
    "Clip": clip,
    "PRelu": prelu,
    "Shrink": shrink,
}
ARITHMETIC: dict[str, Callable[[Dice], None]] = {
    **{op: partial(arithmetic, op) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min", "Mean", "Sum", "Mod")},
    **{f"{op} by a number": partial(by_number, op) for op in ("Add", "Sub", "Mul", "Div", "Max", "Min")},
    **{op: partial(comparison, op) for op in COMPARISONS},
    **{op: partial(logic, op) for op in ("And", "Or", "Xor", "Not")},
    **{op: partial(test_number, op) for op in ("IsNaN", "IsInf")},
    "Pow": power,
    "Where": where,
    "Cast": cast,
}
