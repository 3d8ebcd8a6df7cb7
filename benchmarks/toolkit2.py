"""The vendor's compiler and simulator beside ours, on real models and pictures: time, agreement, scales kept.

Needs the vendor's toolkit. For each model, quantised by us: milliseconds of the fast simulation and of the vendor's
simulator, one thread, same inputs; how far `exact` and the vendor's are apart, as a whole and each native operator alone;
for five SoCs whether every scale that survives fusion is ours, in the toolkit and in the file.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import Row
from rknn_ep import pipeline
from rknn_ep.artifact.bundle import Bundle, write_bundle
from rknn_ep.errors import RknnEpError
from rknn_ep.graph import load_model
from rknn_ep.options import Options
from rknn_ep.plugins import plugins
from rknn_ep.records import CompileRequest

NAME = "toolkit2"
VENDOR = "the vendor's simulator"
TARGETS = ("rk3588", "rk3576", "rk3568", "rk3562", "rv1106")
SAMPLES = 2
CALIBRATION = 8


@dataclass(frozen=True)
class Model:
    """A model, calibration data and pictures to compare on."""

    name: str
    path: Path
    input_shapes: str
    calibration: Sequence[dict[str, Any]]
    test: Sequence[dict[str, Any]]


def run(quick: bool = False) -> Iterator[Row]:
    """All rows; one model and one SoC when quick."""
    from rknn_ep_toolkit2.verification import Sample, verify_partition

    for model in islice(models(quick), 1 if quick else None):
        with tempfile.TemporaryDirectory() as folder:
            for request, inputs in requests(model, "rk3588", Path(folder)):
                path = Path(folder) / "bundle.rknnctx"
                write_bundle(path, request.entries, {"partition": request.partition})
                result = verify_partition(Bundle.open(path), [Sample(one) for one in inputs], {}, layers=True)
                yield from _figures(model.name, result)
            for target in TARGETS[: 1 if quick else None]:
                yield _kept(model, target, Path(folder))


def models(quick: bool, tests: int = SAMPLES, calibration: int = CALIBRATION) -> Iterator[Model]:
    """The cases of the accuracy benchmark that are pictures, and a model of YOLO's shape on photographs."""
    from benchmarks import accuracy, accuracy_data
    from benchmarks.models import yolo_shaped

    for case in accuracy.cases(quick=calibration <= CALIBRATION):
        if case.precision == "int8" and "MiniLM" not in case.name:
            # The test pictures come kind after kind: some of each.
            chosen = [case.test[index * len(case.test) // tests] for index in range(tests)]
            yield Model(case.name, case.path, case.input_shapes, list(case.calibration)[:calibration], chosen)
    if quick:
        return
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "yolo.onnx"
        onnx.save(yolo_shaped(), path)
        crops = list(accuracy_data.crops(accuracy_data.photographs()[0], calibration + tests, 0))
        pictures = [{"x": _fitted(np.asarray(crop), 320)} for crop in crops]
        yield Model("YOLO-shaped", path, "x:1,3,320,320", pictures[:calibration], pictures[calibration:])


def _fitted(picture: Any, size: int) -> Any:
    """RGB of any size as [1, 3, size, size] in 0..1."""
    from PIL import Image

    resized = np.asarray(Image.fromarray(picture).resize((size, size)), np.float32) / 255
    return np.ascontiguousarray(resized.transpose(2, 0, 1)[None])


def requests(model: Model, target: str, folder: Path, method: str = "minmax") -> Iterator[tuple[CompileRequest, list[list[Any]]]]:
    """Each partition as the compilers get it, with the test inputs as it sees them; no `method`: the default one."""
    names = list(model.calibration[0])
    files = {}
    for kind, samples in (("calibration", model.calibration), ("test", model.test)):
        files[kind] = folder / f"{kind}.npz"
        np.savez(files[kind], **{name: np.stack([np.asarray(sample[name]) for sample in samples]) for name in names})
    given: dict[str, Any] = {"target": target, "calibration": files["calibration"]}
    given |= {"calibration_method": method} if method else {}
    parsed = Options.parse(given | ({"input_shapes": model.input_shapes} if model.input_shapes else {}))
    manager = plugins()
    plan = pipeline.make_plan(load_model(model.path), parsed, manager)
    [quantized], _ = pipeline._quantize([plan], parsed, manager, lambda message, share: None)
    for part, made in zip(plan.partitions, quantized, strict=True):
        request = pipeline._request(plan, part, made, parsed, manager)
        entries = manager.compilers()["simulator"].compile(request).entries
        test = pipeline._request(plan, part, made, replace(parsed, calibration=files["test"]), manager)
        assert test.samples is not None
        yield replace(request, entries=entries), [list(arrays) for arrays in test.samples()]


def _figures(name: str, result: Any) -> Iterator[Row]:
    seconds = result.seconds
    yield Row(NAME, name, "fast, 1 thread", 1000 * seconds["fast"], "ms", VENDOR, 1000 * seconds["vendor"], goal="at most 0.25")
    for row in result.outputs:
        if (row.first, row.second) == ("exact", "vendor"):
            figures = row.agreement.to_dict()
            near = figures["share_within_1_lsb"]
            note = f"{figures['share_exact']:.2%} exact" + (f", {near:.2%} within 1 LSB" if near is not None else "")
            yield Row(NAME, name, f"cosine, {row.output}", row.agreement.cosine, "", goal="at least 0.9999", note=note)
    same = sum(row.agreement.exact for row in result.layers)
    values = sum(row.agreement.count for row in result.layers)
    below = [row for row in result.layers if row.agreement.share_exact < 0.999]
    kinds: dict[str, list[Any]] = {}
    for row in below:
        kinds.setdefault(f"{row.native}: {row.reason}", []).append(row.agreement)
    note = "; ".join(
        [
            f"{same / max(values, 1):.4%}",
            *(f"{len(rows)} x {kind} ({min(one.share_exact for one in rows):.2%})" for kind, rows in kinds.items()),
        ]
    )
    if values:
        goal = "at least 99.9 where listed exact"
        yield Row(NAME, name, f"{len(result.layers)} operators alone", 100 * same / values, "% exact", goal=goal, note=note)


def _kept(model: Model, target: str, folder: Path) -> Row:
    """Scales that are ours in what the toolkit used and wrote, of those that survive fusion."""
    from rknn_ep_toolkit2.compiler import compile_partition

    kept = differences = 0
    notes = []
    try:
        for request, _ in requests(model, target, folder):
            check = compile_partition(request).notes["parameters"]
            kept += check["scales_kept"]
            differences += len({one["tensor"] for one in check["differences"]})
            notes += [f"{one['tensor']} {one['ours'][0]:.6g} -> {one['theirs'][0]:.6g}" for one in check["differences"][:3]]
    except RknnEpError as error:
        print(f"  {model.name} for {target}: {error}", file=sys.stderr)
        return Row(NAME, model.name, f"scales kept, {target}", 0, "", goal="all", note=f"does not compile: {error.message[:120]}")
    total = kept + differences
    return Row(NAME, model.name, f"scales kept, {target}", kept, f"of {total}", goal="all", note="; ".join(notes))
