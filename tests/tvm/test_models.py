"""Real models end to end in TVM, int8: the same bundles as for ONNX Runtime, and the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import rknn_ep_tvm
from benchmarks.models import yolo_shaped
from rknn_ep.artifact.epcontext_reader import read_epcontext
from tests import models
from tests.tvm.harness import TARGET, compiled, random, run, through_onnxruntime

SENTENCE = 128


@dataclass(frozen=True)
class Case:
    """A model and what is fed to it."""

    source: Callable[[Path], Path]
    shapes: dict[str, tuple[int, ...]]
    partitions: int
    """At most."""
    options: dict[str, Any] = field(default_factory=dict)


def _yolo(folder: Path) -> Path:
    onnx.save(yolo_shaped(), folder / "yolo.onnx")
    return folder / "yolo.onnx"


_TEXT = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, SENTENCE))
CASES = {
    "cls": Case(lambda _: models.ppocr_cls(), {"x": (1, 3, 48, 192)}, 1),
    "det": Case(lambda _: models.ppocr_det(), {"x": (1, 3, 480, 480)}, 3),
    "efficientnet": Case(lambda _: models.efficientnet_lite0(), {"input": (1, 3, 224, 224)}, 1),
    "yolo": Case(_yolo, {"images": (1, 3, 320, 320)}, 4),
    "minilm": Case(lambda _: models.minilm(), _TEXT, 12),
}
QUICK = "cls"


def inputs_of(path: Path, case: Case, seed: int) -> dict[str, np.ndarray[Any, Any]]:
    """Arrays for every input of the model, by name."""
    names = [value.name for value in onnx.load(path, load_external_data=False).graph.input]
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in zip(names, case.shapes.values(), strict=True):
        if case.shapes is _TEXT:
            made[name] = rng.integers(1000, 20000, shape) if name == "input_ids" else np.full(shape, int("mask" in name))
        else:
            made[name] = random(shape, seed)
    return {name: value.astype(np.int64) if case.shapes is _TEXT else value for name, value in made.items()}


@pytest.mark.models
@pytest.mark.parametrize("name", [pytest.param(name, marks=[] if name == QUICK else pytest.mark.slow) for name in CASES])
def test_bundles_and_outputs_are_those_of_onnxruntime(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    path = case.source(tmp_path)
    samples = [inputs_of(path, case, seed) for seed in range(4)]
    calibration = tmp_path / "samples.npz"
    np.savez(calibration, **{key: np.concatenate([sample[key] for sample in samples]) for key in samples[0]})
    shapes = ";".join(f"{key}:{','.join(map(str, value.shape))}" for key, value in samples[0].items())
    options = {"calibration": calibration, "calibration_method": "minmax", "input_shapes": shapes, **case.options}
    mod, report = rknn_ep_tvm.from_onnx(path, target=TARGET, **options)
    assert report.precision == "int8"
    assert 1 <= len(report.partitions) <= case.partitions
    inputs = inputs_of(path, case, 9)
    expected, context = through_onnxruntime(path, tmp_path, *inputs.values(), target="rk3588", **options)

    mine = {key: bundle.source.read(0, bundle.source.size) for key, bundle in rknn_ep_tvm.bundles(mod).items()}
    theirs = {str(node.attributes["partition_name"]): node.payload for node in read_epcontext(context).own}
    assert mine == theirs

    given = run(compiled(mod), *inputs.values())
    assert len(given) == len(expected)
    for ours, reference in zip(given, expected, strict=True):
        if not report.rejected:
            np.testing.assert_array_equal(ours, reference)  # nothing but the NPU
        else:
            # The CPU's part is float32 in another order of operations, on values of up to some hundred.
            np.testing.assert_allclose(ours, reference, rtol=1e-4, atol=1e-4 * max(1.0, float(np.abs(reference).max())))
