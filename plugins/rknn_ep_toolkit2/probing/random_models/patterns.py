"""Small graphs that the compiler may fuse."""

from __future__ import annotations

from collections.abc import Callable

from rknn_ep_toolkit2.probing.random_models.dice import CHANNELS, Dice


def activation(dice: Dice, x: str) -> None:
    kind = dice.pick(("Relu", "Clip", "Sigmoid", "HardSwish", "LeakyRelu", "Tanh", "SiLU", "HardSigmoid", "Elu", "Softplus"))
    if kind == "SiLU":
        dice.node("Mul", [x, dice.node("Sigmoid", [x])])
    elif kind == "Clip":
        dice.node("Clip", [x, dice.scalar(0.0), dice.scalar(6.0)])
    else:
        dice.node(kind, [x])


def convolved(dice: Dice) -> None:
    channels, out, kernel = dice.pick(CHANNELS), dice.pick(CHANNELS), dice.pick((1, 3, 5))
    x = dice.input([1, channels, dice.integer(5, 50), dice.integer(5, 50)])
    weights = [dice.weight(out, channels, kernel, kernel), dice.weight(out)]
    activation(dice, dice.node("Conv", [x, *weights], pads=[kernel // 2] * 4, strides=[dice.pick((1, 2))] * 2))


def linear(dice: Dice) -> None:
    depth, columns = dice.pick((16, 64, 100, 256)), dice.integer(2, 100)
    x = dice.input([1, dice.integer(2, 60), depth])
    product = dice.node("MatMul", [x, dice.weight(depth, columns)])
    activation(dice, dice.node("Add", [product, dice.weight(columns)]))


def attention(dice: Dice) -> None:
    heads, queries, keys, depth = dice.pick((1, 2, 4, 8)), dice.integer(2, 70), dice.integer(2, 70), dice.pick((16, 32, 64))
    q = dice.input([1, heads, queries, depth])
    k, v = dice.input([1, heads, keys, depth]), dice.input([1, heads, keys, depth])
    scores = dice.node("MatMul", [q, dice.node("Transpose", [k], perm=[0, 1, 3, 2])])
    if dice.chance(0.6):
        scores = dice.node(dice.pick(("Mul", "Div")), [scores, dice.scalar(dice.number(0.1, 8.0))])
    if dice.chance(0.2):
        scores = dice.node("Add", [scores, dice.input([1, 1, queries, keys])])
    dice.node("MatMul", [dice.node("Softmax", [scores], axis=-1), v])


def gelu(dice: Dice) -> None:
    x = dice.input(dice.shape(2, 3, 4))
    erf = dice.node("Erf", [dice.node("Div", [x, dice.scalar(1.4142135381698608)])])
    product = dice.node("Mul", [x, dice.node("Add", [erf, dice.scalar(1.0)])])
    dice.node("Mul", [product, dice.scalar(0.5)])


def mish(dice: Dice) -> None:
    x = dice.input(dice.shape(2, 3, 4))
    dice.node("Mul", [x, dice.node("Tanh", [dice.node("Softplus", [x])])])


def silu(dice: Dice) -> None:
    x = dice.input(dice.shape(2, 3, 4))
    dice.node("Mul", [x, dice.node("Sigmoid", [x])])


def root_mean_square(dice: Dice) -> None:
    shape = dice.shape(2, 3, 4)
    x = dice.input(shape)
    mean = dice.node("ReduceMean", [dice.node("Pow", [x, dice.scalar(2.0)])], axes=[-1])
    root = dice.node("Sqrt", [dice.node("Add", [mean, dice.scalar(1e-6)])])
    dice.node("Mul", [dice.node("Div", [x, root]), dice.weight(shape[-1], fill="uniform")])


def squeeze_and_excite(dice: Dice) -> None:
    channels, inner = dice.pick((8, 16, 32, 64)), dice.pick((2, 4, 8))
    x = dice.input([1, channels, dice.integer(4, 40), dice.integer(4, 40)])
    small = dice.node("Conv", [dice.node("GlobalAveragePool", [x]), dice.weight(inner, channels, 1, 1)])
    large = dice.node("Conv", [dice.node("Relu", [small]), dice.weight(channels, inner, 1, 1)])
    dice.node("Mul", [x, dice.node(dice.pick(("Sigmoid", "HardSigmoid")), [large])])


def residual(dice: Dice) -> None:
    channels = dice.pick(CHANNELS)
    shape = [1, channels, dice.integer(5, 40), dice.integer(5, 40)]
    x, other = dice.input(shape), dice.input(shape)
    made = dice.node("Conv", [x, dice.weight(channels, channels, 3, 3)], pads=[1] * 4)
    dice.node("Relu", [dice.node("Add", [made, other])])


DRAWS: dict[str, Callable[[Dice], None]] = {
    "Conv and activation": convolved,
    "MatMul, bias and activation": linear,
    "attention": attention,
    "GELU": gelu,
    "Mish": mish,
    "SiLU": silu,
    "RMSNorm": root_mean_square,
    "squeeze and excite": squeeze_and_excite,
    "residual": residual,
}
