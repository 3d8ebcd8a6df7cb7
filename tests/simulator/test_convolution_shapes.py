"""The simulator's convolutions give, code for code, what integer sums, one float32 product and one rounding give.

The same equality holds for ONNX Runtime's kernels, which other processors take: these tests pass everywhere.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.simulator import bundles
from tests.simulator.convolutions import Case, Shape, model
from tests.simulator.driver import Context

KINDS = {
    "few channels": Shape((1, 3, 33, 29), (16, 3, 3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
    "odd channels": Shape((2, 5, 9, 11), (7, 5, 3, 3), pads=(1, 0, 2, 1)),
    "pixel by pixel": Shape((1, 64, 13, 7), (33, 64, 1, 1)),
    "steps without kernel": Shape((1, 17, 8, 8), (40, 17, 1, 1), strides=(2, 1)),
    "dilated": Shape((1, 32, 10, 12), (24, 32, 3, 5), strides=(1, 2), pads=(2, 4, 2, 4), dilations=(2, 2)),
    "one line": Shape((1, 6, 1, 40), (3, 6, 1, 7), pads=(0, 3, 0, 3)),
    "depthwise": Shape((1, 48, 12, 15), (48, 1, 3, 3), pads=(1, 1, 1, 1), group=48),
    "depthwise 5x5": Shape((2, 40, 15, 14), (40, 1, 5, 5), strides=(2, 2), pads=(2, 2, 2, 2), group=40),
    "depthwise dilated": Shape((1, 20, 9, 9), (20, 1, 3, 3), strides=(2, 1), pads=(0, 1, 2, 0), dilations=(2, 1), group=20),
    "depthwise of five": Shape((1, 5, 7, 7), (5, 1, 3, 3), pads=(1, 1, 1, 1), group=5),
    "depthwise oblong": Shape((1, 18, 6, 20), (18, 1, 2, 7), pads=(1, 3, 0, 3), group=18),
    "depthwise in a small picture": Shape((1, 16, 3, 3), (16, 1, 5, 5), pads=(2, 2, 2, 2), group=16),
    "Winograd": Shape((1, 16, 8, 10), (16, 16, 3, 3), pads=(1, 1, 1, 1)),
    "Winograd, odd sizes": Shape((2, 33, 11, 7), (21, 33, 3, 3), pads=(1, 1, 1, 1)),
    "Winograd, padded on two sides": Shape((1, 48, 5, 12), (32, 48, 3, 3), pads=(2, 0, 0, 1)),
    "Winograd, no padding": Shape((1, 17, 9, 4), (3, 17, 3, 3)),
    "Winograd, one pixel": Shape((1, 20, 1, 1), (40, 20, 3, 3), pads=(1, 1, 1, 1)),
    "Winograd, several panels": Shape((1, 16, 25, 23), (17, 16, 3, 3), pads=(1, 1, 1, 1)),
    "Winograd, deep": Shape((1, 530, 4, 3), (18, 530, 3, 3), pads=(1, 1, 1, 1)),
}


def check(library: ctypes.CDLL, folder: Path, cases: list[Case]) -> None:
    proto = model(cases)
    path = bundles.bundle(folder / "convolutions.rknnctx", proto, "int8")
    for options in ("simulation=fast", "simulation=fast\nsimulation_threads=2"):
        with Context(library, path, options=options) as context:
            outputs = context(*(case.values for case in cases))
        for case, output in zip(cases, outputs, strict=True):
            np.testing.assert_array_equal(case.got(output), case.expected(), str(case.shape))


@pytest.mark.parametrize("extreme", [False, True], ids=["random", "extreme"])
def test_convolutions_of_every_kind(library: ctypes.CDLL, tmp_path: Path, extreme: bool) -> None:
    rng = np.random.default_rng(7)
    check(library, tmp_path, [Case.draw(shape, rng, extreme) for shape in KINDS.values()])


def test_every_kind_has_a_kernel_of_our_own() -> None:
    rng = np.random.default_rng(7)
    entries = bundles.compiled(model([Case.draw(shape, rng) for shape in KINDS.values()]), "int8").entries
    nodes = onnx.load_model_from_string(entries["simulation_avx2.onnx"]).graph.node
    assert sum(node.op_type == "Convolution" for node in nodes) == len(KINDS)


def drawn(rng: np.random.Generator) -> Shape:
    """A convolution of any kind that the kernels distinguish."""

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    depthwise, usual = rng.random() < 0.3, rng.random() < 0.5
    height, width = (pick(3, 5),) * 2 if usual else (pick(1, 2, 3, 4, 5), pick(1, 2, 3, 5, 7))
    strides = (1, 1) if rng.random() < 0.5 else (pick(1, 2, 3), pick(1, 2, 3))
    dilations = (1, 1) if rng.random() < 0.7 else (pick(1, 2), pick(1, 2, 3))
    pads = (pick(0, 1, 2), pick(0, 1, 2), pick(0, 1, 2), pick(0, 1, 2))
    least = [dilation * (size - 1) + 1 for dilation, size in zip(dilations, (height, width), strict=True)]
    rows = max(1, least[0] - pads[0] - pads[2]) + pick(0, 1, 2, 5, 12)
    columns = max(1, least[1] - pads[1] - pads[3]) + pick(0, 1, 3, 6, 21)
    channels = int(rng.integers(1, 70))
    kernels = channels if depthwise else int(rng.integers(1, 60))
    weights = (kernels, 1 if depthwise else channels, height, width)
    x = (pick(1, 1, 1, 2), channels, rows, columns)
    return Shape(x, weights, strides, pads, dilations, channels if depthwise else 1)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 8))])
def test_drawn_convolutions(library: ctypes.CDLL, tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    check(library, tmp_path, [Case.draw(drawn(rng), rng, extreme=i % 4 == 3) for i in range(40)])
