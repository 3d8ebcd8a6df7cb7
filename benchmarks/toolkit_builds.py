"""Building .rknn files through the worker, beside the vendor's toolkit called directly, and side by side.

Direct: a script in the toolkit's own Python builds the same model, which is what a user without rknn-ep would write. What it
takes without its import is compared with a whole `compile_partition` (the vendor's copy of the model, the worker, the report),
its elapsed time with a first build, which starts the worker. Left out where no toolkit is installed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.models import real_cases
from benchmarks.results import Row
from benchmarks.timing import interleaved
from rknn_ep.graph import serialize
from rknn_ep.options import Options
from rknn_ep.partitioning.extract import extract
from rknn_ep.pipeline import plan_model
from rknn_ep.records import CompileRequest
from rknn_ep_toolkit2.compiler import compile_partition
from rknn_ep_toolkit2.environment import Toolkit, current
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.vendor_copy import vendor_copy
from rknn_ep_toolkit2.worker import workers

DIRECT = """
import json, os, sys, time
os.chdir(sys.argv[1])
from rknn.api import RKNN
started = time.perf_counter()
rknn = RKNN(verbose=True)
rknn.config(target_platform="rk3588", optimization_level=3)
assert rknn.load_onnx("model.onnx") == 0
assert rknn.build(do_quantization=False) == 0
assert rknn.export_rknn("model.rknn") == 0
with open("seconds.json", "w") as file:
    json.dump(time.perf_counter() - started, file)
"""
PROCESSORS = 2


def run(quick: bool = False) -> Iterator[Row]:
    try:
        toolkit = current()
    except ToolkitError as error:
        print(f"  left out: {error.message}", file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as folder:
        requests = [(case.name, request(case.path, case.input_shapes)) for case in real_cases(Path(folder))]
    yield from overhead(requests[:1] if quick else requests, toolkit, rounds=1 if quick else 3)
    yield side_by_side([one for _, one in requests], rounds=1 if quick else 3)
    workers().close()


def request(path: Path, input_shapes: str) -> CompileRequest:
    """The largest partition of a model, in half precision."""
    options = Options.parse({"target": "rk3588", "input_shapes": input_shapes, "precision": "fp16"})
    plan = plan_model(path, options)
    part = max(plan.partitions, key=lambda one: one.macs)
    return CompileRequest(serialize(extract(plan.view, part)), plan.target, "fp16", part.name, part.groups, {})


def overhead(requests: list[tuple[str, CompileRequest]], toolkit: Toolkit, rounds: int) -> Iterator[Row]:
    """Each build ours and direct in turns; the first one of ours in every round starts the worker."""
    for name, one in requests:
        model = vendor_copy(one.model, name).content
        ours, first, theirs, theirs_whole = [], [], [], []
        for _ in range(rounds):
            workers().close()
            first.append(elapsed(partial(compile_partition, one)))
            ours.append(elapsed(partial(compile_partition, one)))
            begin = perf_counter()
            theirs.append(direct(model, toolkit))
            theirs_whole.append(perf_counter() - begin)
        more = median(ours) - median(theirs)
        yield Row(
            "toolkit_builds",
            name,
            "one build, worker running",
            median(ours),
            "s",
            "toolkit called directly, without its import",
            median(theirs),
            "at most 1.1, or 1 s more",
            f"{more:+.2f} s",
        )
        yield Row(
            "toolkit_builds", name, "first build", median(first), "s", "script that imports the toolkit", median(theirs_whole)
        )


def side_by_side(requests: list[CompileRequest], rounds: int) -> Row:
    """Five partitions at once and one after another."""
    again = [replace(one, partition=f"partition_{index}") for index, one in enumerate(requests)]

    def together() -> None:
        with ThreadPoolExecutor(PROCESSORS) as executor:
            list(executor.map(compile_partition, again))

    def in_turn() -> None:
        for one in again:
            compile_partition(one)

    taken = interleaved({"together": together, "in turn": in_turn}, rounds=rounds, warm_up=0, clock=perf_counter)
    return Row(
        "toolkit_builds",
        f"{len(again)} partitions",
        f"{PROCESSORS} at once",
        taken["together"],
        "s",
        "one after another",
        taken["in turn"],
        "at most 0.7 on two cores",
    )


def elapsed(work: object) -> float:
    begin = perf_counter()
    work()  # type: ignore[operator]
    return perf_counter() - begin


def direct(model: bytes, toolkit: Toolkit) -> float:
    """Seconds that the toolkit itself takes for a model, called from a script of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "model.onnx").write_bytes(model)
        subprocess.run(
            [toolkit.python, "-I", "-c", DIRECT, folder],
            capture_output=True,
            check=True,
            env={"TMPDIR": folder, "PATH": "/usr/bin:/bin"},
        )
        return float(json.loads((Path(folder) / "seconds.json").read_text()))
