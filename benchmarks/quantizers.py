"""Our default quantisation beside the vendor's own three algorithms: same pictures, same simulator.

Each model is quantised by us and by the toolkit (normal, kl_divergence, mmse) on the same calibration samples, and all four run
on the vendor's simulator: what differs is the quantisation alone. Compared with float32 in ONNX Runtime: the mean cosine of the
outputs, equal top-1 classes, lines of text read alike, pixels on the same side of
the threshold. Lines of text are tested on 400 more: of 16 one alone, on which float32 is undecided, can make most of the
difference. The vendor's mmse takes minutes a model: rows come as models are done.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import accuracy, toolkit2
from benchmarks.results import Row
from benchmarks.toolkit2 import Model
from rknn_ep.records import CompileRequest
from rknn_ep_toolkit2.device import VendorSimulator
from rknn_ep_toolkit2.environment import current
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.settings import ALGORITHMS, EXACT_LEVEL, FASTEST_LEVEL, Settings
from rknn_ep_toolkit2.vendor_copy import vendor_copy

NAME = "quantizers"
TARGET = "rk3588"
SAMPLES, CALIBRATION = 16, 16
TIMEOUT = "7200"
Array = np.ndarray[Any, Any]


def run(quick: bool = False) -> Iterator[Row]:
    """A row a model and measure; one model without mmse when quick."""
    try:
        current()
    except ToolkitError as error:
        print(f"  left out: {error.message}", file=sys.stderr)
        return
    algorithms = [one for one in ALGORITHMS if not quick or one != "mmse"]
    for model in islice(toolkit2.models(quick, SAMPLES, CALIBRATION), 1 if quick else None):
        with tempfile.TemporaryDirectory() as folder:
            more = [] if quick else accuracy.further_lines(model.name)
            tested = replace(model, test=[*model.test, *map(dict, more)])
            for request, inputs in toolkit2.requests(tested, TARGET, Path(folder), method=""):
                yield from _compared(tested, request, inputs, algorithms)


def _compared(
    model: Model, request: CompileRequest, inputs: Sequence[Sequence[Array]], algorithms: Sequence[str]
) -> Iterator[Row]:
    wanted = _float(request.float_model(), inputs)
    found = {"ours": _simulated(request, inputs, ""), "ours at level 3": _simulated(request, inputs, "", level=FASTEST_LEVEL)}
    for algorithm in algorithms:
        try:
            found[algorithm] = _simulated(request, inputs, algorithm)
        except ToolkitError as error:
            print(f"  {model.name}, {algorithm}: {error.message[:200]}", file=sys.stderr)
    for measure, function in _measures(model.name).items():
        values = {
            name: float(np.mean([function(a, b) for a, b in zip(wanted, made, strict=True)])) for name, made in found.items()
        }
        yield _row(model.name, measure, values, f"{len(model.calibration)} samples calibrate, {len(wanted)} test")


def _row(head: str, measure: str, values: dict[str, float], samples: str) -> Row:
    ours = values.pop("ours")
    best = max((name for name in values if name in ALGORITHMS), key=lambda name: values[name])
    note = ", ".join([*(f"{name} {value:.5f}" for name, value in values.items()), f"ours {ours:.5f}", samples])
    return Row(NAME, head, measure, ours, "", f"the vendor's best, {best}", values[best], "at least 1.0 of it", note)


def _float(model: bytes, inputs: Sequence[Sequence[Array]]) -> list[list[Array]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    return [session.run(None, dict(zip(names, arrays, strict=True))) for arrays in inputs]


def _simulated(
    request: CompileRequest, inputs: Sequence[Sequence[Array]], algorithm: str, level: int = EXACT_LEVEL
) -> list[list[Array]]:
    """On the vendor's simulator, quantised by us or, with an algorithm, by the toolkit; `level` of its optimisation."""
    options = {"toolkit2.timeout": TIMEOUT, **({"toolkit2.algorithm": algorithm} if algorithm else {})}
    settings = replace(Settings.of(TARGET, request.precision, options), optimization_level=level)
    if algorithm:
        assert request.samples is not None
        copy, samples = vendor_copy(request.float_model(), request.partition), list(request.samples())
        # Level 3 is what it takes by itself where nothing arrives quantised.
        simulator = VendorSimulator(copy, replace(settings, optimization_level=FASTEST_LEVEL), samples)
    else:
        simulator = VendorSimulator(vendor_copy(request.model, request.partition), settings)
    try:
        return [simulator.run(list(arrays)) for arrays in inputs]
    finally:
        simulator.close()


def _measures(name: str) -> dict[str, Callable[[list[Array], list[Array]], float]]:
    measures: dict[str, Callable[[list[Array], list[Array]], float]] = {"cosine": _cosine}
    if "rec" in name:
        measures["lines read alike"] = lambda a, b: float(_read(a[0]) == _read(b[0]))
    elif "det" in name:
        measures["pixels alike (0.3)"] = lambda a, b: float(np.mean((a[0] > 0.3) == (b[0] > 0.3)))
    elif "YOLO" not in name:
        measures["top-1 alike"] = lambda a, b: float(a[0].argmax(-1).tolist() == b[0].argmax(-1).tolist())
    return measures


def _cosine(a: list[Array], b: list[Array]) -> float:
    """The mean over the outputs."""
    pairs = [(np.asarray(x, np.float64).reshape(-1), np.asarray(y, np.float64).reshape(-1)) for x, y in zip(a, b, strict=True)]
    return float(np.mean([x @ y / max(float(np.linalg.norm(x) * np.linalg.norm(y)), 1e-30) for x, y in pairs]))


def _read(logits: Array) -> list[int]:
    """CTC, the best class of each step: repetitions and blanks (class 0) dropped."""
    best = logits.reshape(-1, logits.shape[-1]).argmax(-1).tolist()
    return [one for one, before in zip(best, [0, *best], strict=False) if one not in (0, before)]
