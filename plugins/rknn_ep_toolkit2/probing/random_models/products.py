"""Matrix products and recurrent cells."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rknn_ep_toolkit2.probing.random_models.dice import Dice

DEPTHS = (3, 16, 31, 64, 100, 128, 256, 500, 1024, 2048, 3000)


def matmul(dice: Dice) -> None:
    rows, depth, columns = dice.integer(1, 80), dice.pick(DEPTHS), dice.integer(1, 120)
    rank = dice.pick((2, 3, 3, 4))
    batch = {2: [], 3: [dice.pick((1, 1, 2, 8))], 4: [1, dice.pick((2, 4, 6))]}[rank]
    kind = dice.pick(("constant", "constant", "computed", "computed", "constant first", "batched constant", "broadcast"))
    if kind == "constant":
        dice.node("MatMul", [dice.input([*batch, rows, depth]), dice.weight(depth, columns)])
    elif kind == "constant first":
        dice.node("MatMul", [dice.weight(rows, depth), dice.input([*batch, depth, columns])])
    elif kind == "batched constant":
        dice.node("MatMul", [dice.input([*batch, rows, depth]), dice.weight(*batch, depth, columns)])
    elif kind == "broadcast":
        dice.node("MatMul", [dice.input([*batch, rows, depth]), dice.input([depth, columns])])
    else:
        dice.node("MatMul", [dice.input([*batch, rows, depth]), dice.input([*batch, depth, columns])])


def gemm(dice: Dice) -> None:
    rows, depth, columns = dice.pick((1, 1, 4, 16, 50)), dice.pick(DEPTHS), dice.integer(1, 200)
    across, along = dice.pick((0, 0, 0, 1)), dice.pick((0, 1))
    second = [columns, depth] if along else [depth, columns]
    inputs = [dice.input([depth, rows] if across else [rows, depth])]
    inputs.append(dice.weight(*second) if dice.chance(0.75) else dice.input(second))
    if dice.chance(0.6):
        inputs.append(dice.weight(columns))
    alpha = dice.pick((None, None, 0.5))
    dice.node("Gemm", inputs, transA=across or None, transB=along or None, alpha=alpha)


def einsum(dice: Dice) -> None:
    b, h, q, k, d = 1, dice.pick((2, 4)), dice.integer(2, 50), dice.integer(2, 50), dice.pick((8, 16, 32))
    equation, left, right = dice.pick(
        (
            ("bhqd,bhkd->bhqk", [b, h, q, d], [b, h, k, d]),
            ("bhqk,bhkd->bhqd", [b, h, q, k], [b, h, k, d]),
            ("bqd,bkd->bqk", [h, q, d], [h, k, d]),
            ("qd,dk->qk", [q, d], [d, k]),
            ("bqd,dk->bqk", [b, q, d], [d, k]),
        )
    )
    dice.node("Einsum", [dice.input(left), dice.input(right)], equation=equation)


def recurrent(op: str, dice: Dice) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
    steps, batch, size, hidden = (
        dice.integer(1, 16),
        dice.pick((1, 1, 1, 2, 4)),
        dice.pick((8, 16, 20, 32)),
        dice.pick((8, 16, 24, 32)),
    )
    direction = dice.pick(("forward", "forward", "reverse", "bidirectional"))
    ways = 2 if direction == "bidirectional" else 1
    inputs = [
        dice.input([steps, batch, size]),
        dice.weight(ways, gates * hidden, size),
        dice.weight(ways, gates * hidden, hidden),
    ]
    if dice.chance(0.8):
        inputs.append(dice.weight(ways, 2 * gates * hidden))
    reset = 1 if op == "GRU" and dice.chance(0.5) else None
    dice.node(op, inputs, hidden_size=hidden, direction=direction if direction != "forward" else None, linear_before_reset=reset)


DRAWS: dict[str, Callable[[Dice], None]] = {
    "MatMul": matmul,
    "MatMul again": matmul,
    "Gemm": gemm,
    "Einsum": einsum,
    **{op: partial(recurrent, op) for op in ("LSTM", "GRU", "RNN")},
}
