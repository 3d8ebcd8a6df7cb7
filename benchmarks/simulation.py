"""The simulator against ONNX Runtime's CPU provider: the float model, and the very QDQ model that it simulates.

Equal numbers of threads on all sides, spinning off, in turns. `fast` should take at most 1.1 of ONNX Runtime running the same
QDQ model directly with the same arithmetic. On x64 without VNNI, ONNX Runtime's default arithmetic saturates and so is quicker
and wrong; the simulator never does that, and the row "default arithmetic" shows what it costs. With VNNI the two are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

import rknn_ep
from benchmarks import models, sessions
from benchmarks.results import Row
from benchmarks.timing import interleaved


def run(quick: bool = False) -> Iterator[Row]:
    with sessions.folder() as folder:
        for case in models.real_cases(folder):
            for threads in (1,) if quick else (1, 2):
                yield from compare(case, folder, threads, rounds=5 if quick else 21)


def compare(case: models.Case, folder: Path, threads: int, rounds: int) -> Iterator[Row]:
    data = folder / "calibration.npy"
    np.save(data, np.random.default_rng(1).normal(0, 1, (20, *case.shape[1:])).astype(np.float32))
    # The method does not change the speed, and this one is the quickest.
    options = {
        "precision": "int8",
        "calibration": data,
        "calibration_method": "minmax",
        "input_shapes": case.input_shapes,
        "cache_dir": folder / "cache",
    }
    quantized = folder / f"{case.path.stem}_qdq.onnx"
    if not quantized.exists():
        rknn_ep.quantize(case.path, quantized, target="rk3588", **options)
    fast = sessions.npu(case.path, threads=threads, simulation="fast", **options)
    candidates = {
        "fast": fast,
        "exact": sessions.npu(case.path, threads=threads, simulation="exact", **options),
        "fp32": sessions.cpu(case.path, threads=threads),
        "qdq": sessions.cpu(quantized, threads=threads, unsaturated=True),
        "default": sessions.cpu(quantized, threads=threads),
    }
    feeds = sessions.random_input(candidates["fp32"], case.shape)
    taken = interleaved(
        {name: lambda session=session: session.run(None, feeds) for name, session in candidates.items()},
        rounds=rounds,
        clock=process_time if threads == 1 else perf_counter,
    )
    milliseconds = {name: 1000 * seconds for name, seconds in taken.items()}
    head = f"{case.name}, {threads} thread{'s' if threads > 1 else ''}"
    note = sessions.share_on_npu(fast)
    peers = {"qdq": "ORT CPU, same QDQ", "default": "ORT CPU, same QDQ, default arithmetic", "fp32": "ORT CPU fp32"}
    rows = (("fast", "qdq", "at most 1.1"), ("fast", "default", ""), ("fast", "fp32", case.goal), ("exact", "fp32", ""))
    for measure, peer, goal in rows:
        yield Row("simulation", head, measure, milliseconds[measure], "ms", peers[peer], milliseconds[peer], goal, note)
