"""Convolutions and pooling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from rknn_ep_toolkit2.probing.random_models.dice import CHANNELS, Dice


def window(dice: Dice, axes: int, largest: int) -> dict[str, Any]:
    """Kernel, strides and pads; pads below the kernel."""
    kernel = [dice.integer(1, 5 if dice.chance(0.7) else largest) for _ in range(axes)]
    if dice.chance(0.6):
        kernel = kernel[:1] * axes
    strides = [dice.pick((1, 1, 2, 2, 3, 4, 9))] * axes
    if dice.chance(0.15):
        strides = [dice.integer(1, 6) for _ in range(axes)]
    pads = [dice.integer(0, min((one - 1) // 2, 15)) for one in kernel]
    after = pads if dice.chance(0.8) else [dice.integer(0, min((one - 1) // 2, 15)) for one in kernel]
    return {"kernel_shape": kernel, "strides": strides, "pads": [*pads, *after]}


def plane(dice: Dice, axes: int) -> list[int]:
    """Spatial dimensions."""
    return [dice.integer(4, {1: 300, 2: 70, 3: 16}[axes]) for _ in range(axes)]


def conv(kind: str, dice: Dice) -> None:
    axes = {"1d": 1, "3d": 3}.get(kind, 2)
    channels, out = dice.pick(CHANNELS), dice.pick(CHANNELS)
    group = 1
    if kind == "depthwise":
        group, out = channels, channels * dice.pick((1, 1, 1, 2))
    elif kind == "grouped":
        group = dice.pick((2, 3, 4))
        channels, out = channels * group, out * group
    found = window(dice, axes, 5 if axes == 3 else 36)
    if dice.chance(0.15):
        found["dilations"] = [dice.pick((2, 3, 4, 8, 33))] * axes
    if dice.chance(0.1):
        del found["pads"]
    x = dice.input([dice.pick((1, 1, 1, 2, 4)), channels, *plane(dice, axes)])
    inputs = [x, dice.weight(out, channels // group, *found["kernel_shape"])]
    if kind == "computed weight":
        inputs[1] = dice.input([out, channels, *found["kernel_shape"]])
    if dice.chance(0.6):
        inputs.append(dice.weight(out))
    extra: dict[str, Any] = {} if "pads" in found else {"auto_pad": dice.pick(("SAME_UPPER", "SAME_LOWER", "VALID"))}
    if "auto_pad" in extra:
        found.pop("dilations", None)
    dice.node("Conv", inputs, group=group if group > 1 else None, **found, **extra)


def conv_transpose(dice: Dice) -> None:
    axes = dice.pick((1, 2, 2, 2))
    channels, out = dice.pick(CHANNELS), dice.pick(CHANNELS)
    kind = dice.pick(("plain", "plain", "plain", "depthwise", "grouped"))
    group = {"plain": 1, "depthwise": channels, "grouped": 2}[kind]
    if kind == "grouped":
        channels *= 2
    found = window(dice, axes, 12)
    found["strides"] = [dice.pick((1, 2, 2, 3, 4, 8, 9))] * axes
    per_group = 1 if kind == "depthwise" else out
    x = dice.input([dice.pick((1, 1, 1, 2)), channels, *[dice.integer(3, 24) for _ in range(axes)]])
    inputs = [x, dice.weight(channels, per_group, *found["kernel_shape"])]
    if dice.chance(0.5):
        inputs.append(dice.weight(per_group * group))
    padding = [1] * axes if found["strides"][0] > 1 and dice.chance(0.2) else None
    dilations = [2] * axes if dice.chance(0.1) else None
    dice.node("ConvTranspose", inputs, group=group if group > 1 else None, output_padding=padding, dilations=dilations, **found)


def pool(op: str, dice: Dice) -> None:
    axes = dice.pick((1, 2, 2, 2, 2, 2, 3))
    found = window(dice, axes, 6 if axes == 3 else 15)
    x = dice.input([dice.pick((1, 1, 1, 2, 4)), dice.pick(CHANNELS), *plane(dice, axes)])
    ceil = 1 if dice.chance(0.15) and op != "LpPool" else None
    counted = dice.pick((None, None, 1)) if op == "AveragePool" else None
    dilations = [2] * axes if op == "MaxPool" and dice.chance(0.1) else None
    outputs = 2 if op == "MaxPool" and dice.chance(0.05) else 1
    p = dice.pick((None, 1, 2)) if op == "LpPool" else None
    dice.node(op, [x], outputs, ceil_mode=ceil, count_include_pad=counted, dilations=dilations, p=p, **found)


def global_pool(op: str, dice: Dice) -> None:
    axes = dice.pick((1, 2, 2, 2, 3))
    dice.node(op, [dice.input([dice.pick((1, 1, 2, 4)), dice.pick(CHANNELS), *plane(dice, axes)])])


DRAWS: dict[str, Callable[[Dice], None]] = {
    **{
        f"Conv {kind}": partial(conv, kind)
        for kind in ("plain", "plain again", "depthwise", "grouped", "1d", "3d", "computed weight")
    },
    "ConvTranspose": conv_transpose,
    **{op: partial(pool, op) for op in ("MaxPool", "AveragePool", "LpPool")},
    **{op: partial(global_pool, op) for op in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")},
}
