"""TVM: what a call into a partition adds, models end to end, and how long importing and compiling take.

Calls: a virtual machine's `main` that is one partition (Relu over 16 numbers), with each carrier, against the same partition's
function called straight from Python (the C++ module, without a virtual machine). End to end: one inference in TVM with the
simulated NPU, against ONNX Runtime with our provider, and against TVM's own CPU code for the float model; the compile time of
both. Relax: cutting a chain of residual blocks, for ten times the operators.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

import numpy as np
import onnx

from benchmarks import models, sessions
from benchmarks.results import Row
from benchmarks.timing import interleaved

SIMULATED = "rockchip/rk3588-sim"


def run(quick: bool = False) -> Iterator[Row]:
    os.environ.setdefault("TVM_NUM_THREADS", "1")  # as the sessions that it is compared with
    with sessions.folder() as folder:
        yield from _calls(quick)
        yield from _relax(folder)
        yield from _compile_time(folder)
        yield from _end_to_end(folder, quick)


def _calls(quick: bool) -> Iterator[Row]:
    import rknn_ep_tvm
    from rknn_ep_tvm import native
    from rknn_ep_tvm.description import describe

    mod, _ = rknn_ep_tvm.from_onnx(models.trivial(), target=SIMULATED, precision="fp16", min_partition_macs=0)
    (bundle,) = rknn_ep_tvm.bundles(mod).values()
    content = bundle.source.read(0, bundle.source.size)
    direct = native.create("rknn_direct", describe(content, "rk3588", {"device": "simulator"}), content)["rknn_direct"]
    x, y = (rknn_ep_tvm.as_tensor(np.zeros((1, 16), np.float32)) for _ in range(2))
    python, cpp = (_main(mod, carrier=carrier) for carrier in ("python", "native"))
    taken = interleaved(
        {"direct": lambda: direct(x, y), "python": lambda: python(x), "native": lambda: cpp(x)},
        rounds=15 if quick else 101,
        calls=1000,
        warm_up=1000,
    )
    for name, goal in (("native", "under 5 us"), ("python", "under 15 us")):
        measure = f"VM call, {name} carrier"
        yield Row("tvm", "Relu [1,16]", measure, 1e6 * taken[name], "us", "partition's function", 1e6 * taken["direct"])
        yield Row("tvm", "Relu [1,16]", f"added by {measure}", 1e6 * (taken[name] - taken["direct"]), "us", goal=goal)


def _compile_time(folder: Path) -> Iterator[Row]:
    """Everything from the ONNX file to an executable, less what quantising and making bundles take (the core's own work)."""
    import tvm

    import rknn_ep
    import rknn_ep_tvm

    path = folder / "yolo.onnx"
    onnx.save(models.yolo_shaped(), path)
    options: dict[str, Any] = {**_calibrated(folder, (1, 3, 320, 320)), "cache_dir": folder / "cache"}
    rknn_ep_tvm.from_onnx(path, target=SIMULATED, **options)  # quantised and compiled once: the cache has it
    begin = perf_counter()
    mod, report = rknn_ep_tvm.from_onnx(path, target=SIMULATED, **options)
    imported = perf_counter()
    tvm.compile(mod, target=SIMULATED, relax_pipeline="rknn")
    compiled = perf_counter()
    planned = _seconds(lambda: rknn_ep.partition(path, target="rk3588", **options))
    note = f"{len(report.partitions)} partitions, {len(report.rejected)} nodes left to TVM"
    yield Row("tvm", "YOLO-shaped 320x320", "planning", planned, "s")
    yield Row("tvm", "YOLO-shaped 320x320", "import, partitions compiled before", imported - begin, "s", note=note)
    yield Row("tvm", "YOLO-shaped 320x320", "tvm.compile", compiled - imported, "s")
    total = planned + compiled - begin
    yield Row("tvm", "YOLO-shaped 320x320", "partition and code generation", total, "s", goal="under 3 s")


def _relax(folder: Path) -> Iterator[Row]:
    """Planning and cutting a Relax module; nothing is quantised or compiled."""
    import rknn_ep_tvm

    taken = {}
    for count in (100, 1000):
        path = folder / f"chain-{count}.onnx"
        onnx.save(models.residual_chain(count), path)
        plain, _ = rknn_ep_tvm.from_onnx(path, target=SIMULATED, min_partition_macs=10**15)  # nothing is worth a partition

        def cut(module: Any = plain) -> Any:
            return rknn_ep_tvm.cut_for_rknn(module, target=SIMULATED, min_partition_macs=0)

        regions = len(cut().functions) - 1
        taken[count] = median(_seconds(cut) for _ in range(5))
        ten_times = ("10 times 100 operators", 10 * taken[100], "about 1: linear") if count > 100 else ()
        yield Row("tvm", f"Relax, {count:,} operators", "partition", taken[count], "s", *ten_times, note=f"{regions} partitions")


@dataclass(frozen=True)
class _Whole:
    """A model, what it is fed and the options that compile it."""

    name: str
    path: Path
    feeds: dict[str, np.ndarray[Any, Any]]
    options: dict[str, Any]


def _wholes(folder: Path) -> Iterator[_Whole]:
    for case in models.real_cases(folder):
        if "rec" not in case.name:
            options = {**_calibrated(folder, case.shape), "input_shapes": case.input_shapes}
            x = np.random.default_rng(1).normal(0, 1, case.shape).astype(np.float32)
            yield _Whole(case.name, case.path, {case.input_shapes.partition(":")[0]: x}, options)
    if (path := models.minilm()) is not None:
        ids = np.random.default_rng(0).integers(1000, 20000, (5, 128))
        feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        np.savez(folder / "tokens.npz", **{name: value[1:] for name, value in feeds.items()})
        options = {"calibration": folder / "tokens.npz", "calibration_method": "minmax"}
        yield _Whole("all-MiniLM-L6-v2, 128 tokens", path, {name: value[:1] for name, value in feeds.items()}, options)


def _end_to_end(folder: Path, quick: bool) -> Iterator[Row]:
    import rknn_ep_tvm

    for whole in _wholes(folder):
        mod, report = rknn_ep_tvm.from_onnx(whole.path, target=SIMULATED, **whole.options)
        session = sessions.npu(whole.path, cache_dir=folder / "cache", **whole.options)
        arguments = [rknn_ep_tvm.as_tensor(whole.feeds[value.name].copy()) for value in session.get_inputs()]
        begin = perf_counter()
        ours = _main(mod, carrier="native")
        ours_compiled = perf_counter() - begin
        # The same frontend and the same converters, with nothing worth a partition.
        shapes = whole.options.get("input_shapes", "")
        alone, _ = rknn_ep_tvm.from_onnx(whole.path, target=SIMULATED, input_shapes=shapes, min_partition_macs=10**15)
        begin = perf_counter()
        stock = _main(alone)
        stock_compiled = perf_counter() - begin
        taken = interleaved(
            {
                "ours": lambda f=ours, x=arguments: f(*x),  # type: ignore[misc]
                "ort": lambda s=session, i=whole.feeds: s.run(None, i),  # type: ignore[misc]
            },
            rounds=5 if quick else 21,
        )
        share = f"{len(report.partitions)} partitions, {report.macs.inside_share:.1%} of MACs"
        ours_ms, ort_ms = 1e3 * taken["ours"], 1e3 * taken["ort"]
        measure = "TVM, simulated NPU"
        yield Row("tvm", whole.name, measure, ours_ms, "ms", "ORT, simulated NPU", ort_ms, "about 1", note=share)
        cpu = 1e3 * min(_seconds(lambda f=stock, x=arguments: f(*x), process_time) for _ in range(3))  # type: ignore[misc]
        yield Row("tvm", whole.name, measure, ours_ms, "ms", "TVM CPU fp32, untuned", cpu)
        yield Row("tvm", whole.name, "tvm.compile and load", ours_compiled, "s", "TVM CPU fp32, untuned", stock_compiled)


def _main(mod: Any, **options: Any) -> Callable[..., Any]:
    """`main` of a module compiled for the simulator."""
    import tvm
    from tvm import relax

    from rknn_ep_tvm import make_target

    executable = tvm.compile(mod, target=make_target(SIMULATED, **options), relax_pipeline="rknn")
    main: Callable[..., Any] = relax.VirtualMachine(executable, tvm.cpu())["main"]
    return main


def _calibrated(folder: Path, shape: tuple[int, ...]) -> dict[str, Any]:
    path = folder / f"samples-{'x'.join(map(str, shape))}.npy"
    if not path.exists():
        np.save(path, np.random.default_rng(0).standard_normal((4, *shape[1:]), np.float32))
    return {"calibration": path, "calibration_method": "minmax"}


def _seconds(function: Callable[[], object], clock: Callable[[], float] = perf_counter) -> float:
    begin = clock()
    function()
    return clock() - begin
