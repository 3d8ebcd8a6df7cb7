"""The runtime client: what it adds to rknn_api, beside ez-rknn-async, how contexts scale, and what they and many runs cost.

The C baseline (benchmarks/native/client.cc) is compiled here with c++. The wheel ez-rknn-async runs in an environment of its own,
on the same simulator and the same model: tests/ez_environment.py.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnx

import rknn_ep
from benchmarks import models, sessions
from benchmarks.results import Row
from benchmarks.timing import interleaved
from rknn_ep.api import native_library
from rknn_ep.runtime import Session
from rknn_ep.runtime.native import let_simulator_find_onnxruntime, library
from rknn_ep_simulator.environment import environment
from rknn_ep_simulator.stand_in import write_stand_in
from tests.ez_environment import ez_python

ROOT = Path(__file__).parents[1]
KEPT: list[Any] = []
"""What C holds the addresses of."""
QUIET = 1.9
"""How many times as fast two threads hash as one where two processors are free."""
MEMORY = """
import sys
from rknn_ep.runtime import Session
def rss():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS"))
session = Session(sys.argv[1], device="simulator", contexts=int(sys.argv[2]))
import numpy as np
inputs = [np.zeros(one.shape, one.dtype) for one in session.inputs]
for _ in range(int(sys.argv[2])):  # contexts are taken in turn only when several run at once: submit them together
    futures = [session.submit(inputs) for _ in range(int(sys.argv[2]))]
    [future.result() for future in futures]
print(rss(), int(session.facts["weight_bytes"]))
"""
SLOPE = """
import sys
import numpy as np
from rknn_ep.runtime import Session
def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4
session = Session(sys.argv[1], device="simulator")
x = [np.zeros(one.shape, one.dtype) for one in session.inputs]
runs = int(sys.argv[2])
for _ in range(runs // 10):
    session.run(x)
before = rss()
for _ in range(runs):
    session.run(x)
print((rss() - before) / runs)
"""


def run(quick: bool = False) -> Iterator[Row]:
    let_simulator_find_onnxruntime()
    with sessions.folder() as folder:
        trivial = compiled(models.trivial(), folder, "trivial")
        working = compiled(models.yolo_shaped(160), folder, "working")
        yield from overhead(trivial, folder, quick)
        yield from flows(working, quick)
        for name, bundle, calls in (("Relu [1,16]", trivial, 2000), ("YOLO-shaped 160, fp16", working, 24)):
            yield from callers(name, bundle, folder, calls, quick)
        yield from scaling(working, quick)
        yield from second_context(folder, quick)
        yield slope(trivial, 10_000 if quick else 100_000)


def compiled(model: onnx.ModelProto, folder: Path, name: str) -> Path:
    """The bundle of a model that is one partition."""
    onnx.save(model, folder / f"{name}.onnx")
    inside = folder / name
    inside.mkdir()
    rknn_ep.compile(
        folder / f"{name}.onnx",
        inside / "ctx.onnx",
        target="rk3588",
        precision="fp16",
        min_partition_macs=0,
        cache_dir=folder / "cache",
        embed_mode=0,
    )
    [bundle] = inside.glob("*.rknnctx")
    return bundle


def overhead(bundle: Path, folder: Path, quick: bool) -> Iterator[Row]:
    """What is added to a call: from C, and from Python."""
    compiler = shutil.which(os.environ.get("CXX", "c++"))
    if compiler is None:
        raise RuntimeError("the C baseline needs a C++ compiler")
    client = folder / "client"
    source = ROOT / "benchmarks/native/client.cc"
    subprocess.run(
        [compiler, "-std=c++17", "-O2", "-I", str(ROOT / "native"), str(source), "-o", str(client), "-ldl"], check=True
    )
    libraries = [str(native_library(one)) for one in ("PROVIDER", "SIMULATOR")]
    # C in the middle of two measurements of Python, so that a change of the machine's load falls on both.
    python = [python_call(bundle, quick)]
    done = subprocess.run(
        [str(client), *libraries, str(bundle), "11" if quick else "51", "1000"], check=True, capture_output=True, text=True
    )
    python.append(python_call(bundle, quick))
    figures = {key: float(value) for key, value in (line.split("=") for line in done.stdout.splitlines())}
    for name, ours, direct in (
        ("copying", "ours", "direct"),
        ("bound memory", "ours_bound", "direct_bound"),
    ):
        note = f"allocations a call: {figures[f'{ours}.allocations']:g} against {figures[f'{direct}.allocations']:g}"
        yield Row(
            "runtime",
            f"Relu [1,16], {name}, C",
            "one call",
            figures[ours] / 1e3,
            "us",
            "rknn_api called directly",
            figures[direct] / 1e3,
            "under 5 us more",
            note,
        )
    for index, (name, direct) in enumerate(
        (("copying", "direct"), ("copying into out=", "direct"), ("bound memory", "direct_bound"))
    ):
        taken = median(one[index] for one in python)
        if index < 2:
            called = median(one[-1] for one in python)
            case = f"Relu [1,16], {name}, Python"
            yield Row("runtime", case, "one call", taken, "us", "our C interface through ctypes", called)
        yield Row(
            "runtime",
            f"Relu [1,16], {name}, Python",
            "one call",
            taken,
            "us",
            "rknn_api called directly from C",
            figures[direct] / 1e3,
        )


def python_call(bundle: Path, quick: bool) -> list[float]:
    """Microseconds of CPU time of Session.run: with new outputs, into given ones, on bound memory; then of our C interface called
    through ctypes with arguments that are ready, the least that a call from Python can take.
    """
    with Session(bundle, device="simulator") as session:
        x = np.zeros(session.inputs[0].shape, np.float32)
        out = session.run([x])
        function, *arguments = c_call(session, x, out[0])
        taken = interleaved(
            {
                "run": lambda: session.run([x]),
                "out": lambda: session.run([x], out),
                "bound": session.run,
                "ctypes": lambda: function(*arguments),
            },
            rounds=11 if quick else 51,
            calls=1000,
            warm_up=100,
        )
    return [1e6 * taken[name] for name in ("run", "out", "bound", "ctypes")]


def c_call(session: Session, x: np.ndarray[Any, Any], out: np.ndarray[Any, Any]) -> list[Any]:
    """rknn_ep_executor_run and its arguments for one input and one output."""
    native = session._native
    if native is None:
        raise RuntimeError("the simulator is a native library")
    arguments: list[Any] = [native._handle]
    for array in (x, out):
        lists = (ctypes.c_size_t * 1)(array.ctypes.data), (ctypes.c_uint64 * 1)(array.nbytes)
        KEPT.extend(lists)
        arguments += [*map(ctypes.addressof, lists), 1]
    return [library().rknn_ep_executor_run, *arguments]


def flows(bundle: Path, quick: bool) -> Iterator[Row]:
    """The two flows of rknn_api on float32 NCHW arrays: the reason for what io_mode=auto takes."""
    with (
        Session(bundle, device="simulator", io_mode="general") as general,
        Session(bundle, device="simulator", io_mode="zero_copy") as zero_copy,
    ):
        x = np.random.default_rng(0).normal(size=general.inputs[0].shape).astype(np.float32)
        taken = interleaved(
            {"general": lambda: general.run([x]), "zero_copy": lambda: zero_copy.run([x])}, rounds=5 if quick else 31
        )
    yield Row(
        "runtime",
        "YOLO-shaped 160, fp16",
        "float32 NCHW in and out, io_mode=general",
        1e3 * taken["general"],
        "ms",
        "io_mode=zero_copy",
        1e3 * taken["zero_copy"],
    )


class Worker:
    """benchmarks/callers.py in its environment."""

    def __init__(self, python: str | Path, which: str, model: Path) -> None:
        variables = {**os.environ, **environment(), "RKNN_EP_COMPANIONS": str(model.parent), "RKNN_LOG_LEVEL": "0"}
        if which == "ez":
            variables.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            [str(python), str(ROOT / "benchmarks/callers.py"), which, str(model)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=variables,
        )

    def measure(self, callers: int, contexts: int, calls: int) -> tuple[float, float, float]:
        """Elapsed seconds, seconds of CPU time and waits of one call, in a measurement of `calls` of them."""
        to, back = self._process.stdin, self._process.stdout
        if to is None or back is None:
            raise RuntimeError("the worker has no pipes")
        to.write(f"{callers} {contexts} {calls}\n")
        to.flush()
        answer = back.readline()
        if not answer:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        elapsed, used, waits = (float(one) / calls for one in answer.split())
        return elapsed, used, waits

    def close(self) -> None:
        """End it."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def callers(name: str, bundle: Path, folder: Path, calls: int, quick: bool) -> Iterator[Row]:
    """Elapsed time of a call as 1, 2 and 4 threads call at once, beside ez-rknn-async."""
    python = ez_python()
    if isinstance(python, str):
        sys.stderr.write(f"  {python}\n")
        return
    model = write_stand_in(bundle, bundle.with_suffix(".rknn"))
    workers = {"ours": Worker(sys.executable, "ours", bundle), "ez": Worker(python, "ez", model)}
    try:
        for count in (1, 2, 4):
            contexts = min(count, 2)
            samples: dict[str, list[tuple[float, float, float]]] = {which: [] for which in workers}
            for turn in range(3 if quick else 25):
                for which in list(workers)[:: 1 if turn % 2 == 0 else -1]:
                    samples[which].append(workers[which].measure(count, contexts, calls))
            elapsed, used, waits = ([median(one[index] for one in samples[which]) for which in workers] for index in range(3))
            yield Row(
                "runtime",
                f"{name}, {count} calling, contexts={contexts}",
                "elapsed for a call",
                1e6 * elapsed[0],
                "us",
                "ez-rknn-async",
                1e6 * elapsed[1],
                "at most 1",
                f"CPU time {1e6 * used[0]:.0f} against {1e6 * used[1]:.0f} us, waits {waits[0]:.1f} against {waits[1]:.1f}",
            )
    finally:
        for worker in workers.values():
            worker.close()


def scaling(bundle: Path, quick: bool) -> Iterator[Row]:
    """Throughput of two contexts against one.

    Other work on the machine takes processors away, so the elapsed times that count are those with two processors free: just
    before and just after, hashing in two threads was 1.9 times as fast as in one. CPU time needs no quiet machine: threads that
    wait for nothing and take no more of it together than one by one are as many times as fast as there are processors.
    """
    worker = Worker(sys.executable, "ours", bundle)
    gains, machine, alone, both = [], [], [], []
    quiet, tries = (3, 9) if quick else (9, 90)
    try:
        for _ in range(tries):
            one = worker.measure(1, 1, 24)
            before = hashing(1) / hashing(2)
            two = worker.measure(2, 2, 48)
            after = hashing(1) / hashing(2)
            gains.append(one[0] / two[0])
            machine.append(min(before, after))
            alone.append(one)
            both.append(two)
            if sum(free > QUIET for free in machine) == quiet:
                break
    finally:
        worker.close()
    free = [gain for gain, share in zip(gains, machine, strict=True) if share > QUIET]
    yield Row(
        "runtime",
        "YOLO-shaped 160, fp16",
        "throughput, 2 contexts over 1",
        median(free or gains),
        "x",
        "hashing in 2 threads over 1",
        median([share for share in machine if share > QUIET] or machine),
        "at least 1.8",
        f"{len(free)} of {len(gains)} measurements had two free processors"
        + ("" if free else "; without one that had, the median of all is shown"),
    )
    yield Row(
        "runtime",
        "YOLO-shaped 160, fp16",
        "CPU time of a run, 2 at once",
        1e3 * median(used for _, used, _ in both),
        "ms",
        "one after the other",
        1e3 * median(used for _, used, _ in alone),
        "at most 1.11",
        f"waits for another thread, a run: {median(waits for _, _, waits in both):.2f}",
    )


def hashing(threads: int) -> float:
    """Seconds for a fixed amount of hashing, shared out among threads: needs nothing but the processor."""
    content = bytes(32 << 20)

    def work() -> None:
        for _ in range(8 // threads):
            hashlib.sha256(content)

    begin = time.perf_counter()
    with ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(work) for _ in range(threads)]:
            future.result()
    return time.perf_counter() - begin


def second_context(folder: Path, quick: bool) -> Iterator[Row]:
    """What a second context adds to the memory of a process."""
    bundle = compiled(models.heavy(64 if quick else 256), folder, "heavy")
    sizes = []
    for contexts in (1, 2):
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(bundle), str(contexts)], check=True, capture_output=True, text=True
        )
        sizes.append([int(one) for one in done.stdout.split()])
    weights = sizes[0][1] / 1e6
    added = (sizes[1][0] - sizes[0][0]) * 1024 / 1e6
    yield Row("runtime", "MatMul chain", "memory of a second context", added, "MB", "the weights", weights, "at most 0.1")


def slope(bundle: Path, runs: int) -> Row:
    """How resident memory grows with runs."""
    done = subprocess.run([sys.executable, "-c", SLOPE, str(bundle), str(runs)], check=True, capture_output=True, text=True)
    return Row("runtime", f"{runs:,} runs", "growth of resident memory", float(done.stdout), "kB a run", goal="under 0.2")
