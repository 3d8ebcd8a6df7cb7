"""The simulator through rknn_api, from Python's ctypes: memory over many runs, a second context's memory, both flows' time a run.

Memory: the slope of the resident set over the runs (goal: under 0.2 kB a run), and what a duplicated context adds against the
weights (goal: under a tenth). Time: the zero-copy flow against the copying one, in turns; most of either is ctypes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper

from benchmarks.results import Row
from benchmarks.timing import interleaved
from tests.simulator import bundles, driver
from tests.simulator.driver import Context
from tests.simulator.steady import copying, resident, zero_copy


def run(quick: bool = False) -> Iterator[Row]:
    library = driver.load()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        relu = bundles.bundle(folder / "relu.rknnctx", bundles.relu((1, 3, 16, 16)))
        runs = 10_000 if quick else 100_000
        for flow in ("copying", "zero_copy", "asynchronous"):
            command = [sys.executable, "-m", "tests.simulator.steady", str(relu), flow, str(runs)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            slope = float(done.stdout) / 1000
            yield Row("simulator_api", f"{runs} runs, {flow}", "resident memory a run", slope, "kB", goal="under 0.2")
        yield second_context(library, folder)
        model = bundles.bundle(folder / "quantized.rknnctx", bundles.quantized_identity((1, 3, 224, 224)), "int8")
        with Context(library, model) as first, Context(library, model) as second:
            seconds = interleaved({"zero": zero_copy(first), "copying": copying(second)}, rounds=20 if quick else 100, calls=20)
        yield Row(
            "simulator_api", "224x224, int8", "zero-copy, a run", seconds["zero"] * 1e6, "us", "copying", seconds["copying"] * 1e6
        )


def second_context(library: object, folder: Path) -> Row:
    size = 4096
    weights = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
    tensor = TensorProto.FLOAT, [1, size]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    proto = bundles.model(nodes, [("x", *tensor)], [("y", *tensor)], {"w": weights})
    x = np.ones((1, size), np.float32)
    with Context(library, bundles.bundle(folder / "w.rknnctx", proto)) as first:  # type: ignore[arg-type]
        first(x)
        before = resident()
        with first.duplicate() as second:
            second(x)
            added = (resident() - before) / 1e6
    return Row(
        "simulator_api", "a second context", "resident memory", added, "MB", "the weights", weights.nbytes / 1e6, "at most 0.1"
    )
