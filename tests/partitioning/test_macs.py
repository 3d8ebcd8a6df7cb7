"""Multiply-accumulates and bytes, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rknn_ep.graph import View
from rknn_ep.partitioning.macs import macs, weight_bytes
from tests.partitioning.helpers import build, node, one, view_of


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


CASES: dict[str, tuple[View, int]] = {
    "conv": (one("Conv", (2, 3, 10, 10), consts={1: zeros(8, 3, 3, 3)}), 2 * 8 * 8 * 8 * 3 * 3 * 3),
    "depthwise": (one("Conv", (1, 16, 8, 8), consts={1: zeros(16, 1, 3, 3)}, group=16, pads=[1] * 4), 16 * 8 * 8 * 9),
    "transposed": (one("ConvTranspose", (1, 4, 5, 5), consts={1: zeros(4, 6, 2, 2)}, strides=[2, 2]), 4 * 25 * 6 * 4),
    "matmul": (one("MatMul", (2, 5, 7), consts={1: zeros(7, 11)}), 2 * 5 * 7 * 11),
    "gemm": (one("Gemm", (7, 5), consts={1: zeros(7, 11)}, transA=1), 5 * 7 * 11),
    "einsum": (one("Einsum", (1, 2, 3, 4), (1, 2, 5, 4), equation="bhqd,bhkd->bhqk"), 2 * 3 * 5 * 4),
    "lstm": (one("LSTM", (9, 2, 6), consts={1: zeros(1, 20, 6), 2: zeros(1, 20, 5)}, hidden_size=5), 9 * 2 * 20 * 11),
    "gru both ways": (
        one("GRU", (9, 2, 6), consts={1: zeros(2, 15, 6), 2: zeros(2, 15, 5)}, hidden_size=5, direction="bidirectional"),
        2 * 9 * 2 * 15 * 11,
    ),
    "pool": (one("MaxPool", (1, 3, 8, 8), kernel_shape=[2, 2]), 0),
}


@pytest.mark.parametrize("name", CASES)
def test_macs(name: str) -> None:
    view, expected = CASES[name]
    assert macs(view.nodes[-1].facts) == expected


def test_weights_count_in_the_codes_of_the_precision_and_once() -> None:
    nodes = [node("Conv", ["x", "w", "b"], ["t"]), node("Conv", ["t", "w", "b"], ["y"])]
    view = view_of(
        build(nodes, {"x": (1, 4, 8, 8)}, ["y"], {"w": np.ones((4, 4, 3, 3), np.float32), "b": np.ones(4, np.float32)})
    )
    facts = [item.facts for item in view.nodes]
    assert weight_bytes(facts, "int8") == 144 + 4 * 4
    assert weight_bytes(facts, "fp16") == 2 * 144 + 2 * 4


def test_shapes_weigh_nothing() -> None:
    view = one("Reshape", (2, 6), consts={1: np.array([3, 4], np.int64)})
    assert weight_bytes([view.nodes[-1].facts], "fp16") == 0
