"""Memory stays where it is: over 100,000 runs, over contexts that come and go, and for a second context on the same weights."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.simulator import bundles
from tests.simulator.driver import Context
from tests.simulator.steady import resident


@pytest.fixture(scope="module")
def relu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("relu") / "relu.rknnctx", bundles.relu((1, 3, 16, 16)))


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["copying", "zero_copy", "asynchronous"])
def test_a_hundred_thousand_runs_leave_memory_flat(relu: Path, flow: str) -> None:
    command = [sys.executable, "-m", "tests.simulator.steady", str(relu), flow, "100000"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 200  # bytes a run: what a leak of the smallest object would exceed


def test_contexts_that_come_and_go_leave_memory_flat(relu: Path) -> None:
    command = [sys.executable, "-m", "tests.simulator.steady", str(relu), "contexts", "300"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    # ONNX Runtime's allocator settles over hundreds of sessions; the buffers and the session of one would be 40 kB.
    assert float(done.stdout) < 4000


def test_a_second_context_costs_under_a_tenth_of_the_weights(library: ctypes.CDLL, tmp_path: Path) -> None:
    size = 2048
    weights = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    proto = bundles.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, [1, size])],
        [("y", TensorProto.FLOAT, [1, size])],
        {"w": weights},
    )
    x = np.ones((1, size), np.float32)
    with Context(library, bundles.bundle(tmp_path / "w.rknnctx", proto)) as first:
        first(x)
        gc.collect()
        before = resident()
        with first.duplicate() as second:
            second(x)
            assert resident() - before < weights.nbytes / 10
