"""Creating a session: cold (plan, calibrate, compile) and from the cache, against ONNX Runtime.

From a warm cache it should take at most 1.2 times what ONNX Runtime needs to create the QDQ model and the original, together.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np

import rknn_ep
from benchmarks import models, sessions
from benchmarks.results import Row
from benchmarks.timing import interleaved


def run(quick: bool = False) -> Iterator[Row]:
    with sessions.folder() as folder:
        for case in models.real_cases(folder):
            yield from measure(case, folder, rounds=5 if quick else 15)


def measure(case: models.Case, folder: Path, rounds: int) -> Iterator[Row]:
    data, cache = folder / "calibration.npy", folder / "cache"
    np.save(data, np.random.default_rng(1).normal(0, 1, (20, *case.shape[1:])).astype(np.float32))
    options = {"precision": "int8", "calibration": data, "input_shapes": case.input_shapes, "cache_dir": cache}
    quantized = folder / f"{case.path.stem}_qdq.onnx"
    rknn_ep.quantize(case.path, quantized, target="rk3588", **options)
    shutil.rmtree(cache, ignore_errors=True)
    sessions.register()
    started = perf_counter()
    sessions.npu(case.path, **options)
    cold = perf_counter() - started
    taken = interleaved(
        {
            "warm": lambda: sessions.npu(case.path, **options),
            "qdq": lambda: sessions.cpu(quantized, unsaturated=True),
            "original": lambda: sessions.cpu(case.path),
        },
        rounds=rounds,
    )
    peer = taken["qdq"] + taken["original"]
    name = "session_creation"
    yield Row(name, case.name, "warm", 1000 * taken["warm"], "ms", "ORT: QDQ + original", 1000 * peer, "at most 1.2")
    yield Row(name, case.name, "cold", 1000 * cold, "ms", "ORT: QDQ + original", 1000 * peer, note="20 calibration samples, once")
