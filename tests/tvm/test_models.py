"""Real models end to end in TVM, int8: from ONNX with ONNX Runtime's bundles and numbers, from Relax with its accuracy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import rknn_ep_tvm
from benchmarks.models import yolo_shaped
from rknn_ep.artifact.epcontext_reader import read_epcontext
from rknn_ep_tvm.running import RUN
from tests import models
from tests.tvm.harness import TARGET, calls, compiled, random, run, through_onnxruntime

SENTENCE = 128


Inputs = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Case:
    """A model and what is fed to it."""

    source: Callable[[Path], Path]
    inputs: Callable[[int], Inputs]
    """Inputs by name, from a seed."""
    partitions: int
    """At most, from ONNX."""
    samples: int = 3
    """For calibration."""
    judged: int = 1
    """Inputs that accuracy is measured on: two scores of one input say little."""


def _yolo(folder: Path) -> Path:
    onnx.save(yolo_shaped(), folder / "yolo.onnx")
    return folder / "yolo.onnx"


def _text(height: int, width: int) -> Callable[[int], Inputs]:
    """Photographs with text in -1..1, cut to the size that the model has."""

    def make(seed: int) -> Inputs:
        (picture,) = models.text_pictures(1, seed + 1)
        return {"x": picture[None, :height, :width].transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1}

    return make


def _photograph(seed: int) -> Inputs:
    from PIL import Image

    paths = models.pictures()
    picture = np.asarray(Image.open(paths[seed % len(paths)]).convert("RGB").resize((224, 224)), np.float32)
    return {"input": (picture.transpose(2, 0, 1)[None] - 127) / 128}


def _tokens(seed: int) -> Inputs:
    ids = np.random.default_rng(seed).integers(1000, 20000, (1, SENTENCE))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


CASES = {
    "cls": Case(lambda _: models.ppocr_cls(), _text(48, 192), 1, samples=16, judged=10),
    "det": Case(lambda _: models.ppocr_det(), _text(480, 480), 3),
    "efficientnet": Case(lambda _: models.efficientnet_lite0(), _photograph, 1),
    "yolo": Case(_yolo, lambda seed: {"x": random((1, 3, 320, 320), seed)}, 4),
    "minilm": Case(lambda _: models.minilm(), _tokens, 12),
}
QUICK = "cls"
NAMES = [pytest.param(name, marks=[] if name == QUICK else pytest.mark.slow) for name in CASES]


def int8_options(case: Case, folder: Path) -> dict[str, Any]:
    """Calibration data, and the shapes of the inputs."""
    samples = [case.inputs(seed) for seed in range(case.samples)]
    np.savez(folder / "samples.npz", **{key: np.concatenate([sample[key] for sample in samples]) for key in samples[0]})
    shapes = ";".join(f"{key}:{','.join(map(str, value.shape))}" for key, value in samples[0].items())
    return {"calibration": folder / "samples.npz", "calibration_method": "minmax", "input_shapes": shapes}


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_bundles_and_outputs_are_those_of_onnxruntime(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    path = case.source(tmp_path)
    options = int8_options(case, tmp_path)
    mod, report = rknn_ep_tvm.from_onnx(path, target=TARGET, **options)
    assert report.precision == "int8"
    assert 1 <= len(report.partitions) <= case.partitions
    inputs = case.inputs(case.samples)
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


@pytest.mark.models
@pytest.mark.parametrize("name", NAMES)
def test_from_relax_it_is_as_accurate_as_from_onnx(tmp_path: Path, name: str) -> None:
    """TVM's own frontend makes the module, nothing partitioned; float outputs by ONNX Runtime judge both ways."""
    case = CASES[name]
    path = case.source(tmp_path)
    options = int8_options(case, tmp_path)
    plain, _ = rknn_ep_tvm.from_onnx(path, target=TARGET, min_partition_macs=10**15, input_shapes=options["input_shapes"])
    assert RUN not in calls(plain)
    quantised = {key: value for key, value in options.items() if key != "input_shapes"}
    mod, report = rknn_ep_tvm.partition_for_rknn(plain, target=TARGET, **quantised)
    assert report.precision == "int8"
    assert report.to_dict()["macs"]["npu_share"] >= 0.95
    assert 1 <= calls(mod).count(RUN) <= 3
    relaxed, from_onnx = compiled(mod), compiled(rknn_ep_tvm.from_onnx(path, target=TARGET, **options).mod)

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    judged = [case.inputs(case.samples + seed) for seed in range(case.judged)]
    ours, others, exact = (
        [np.stack(values) for values in zip(*(way(inputs) for inputs in judged), strict=True)]
        for way in (
            lambda inputs: run(relaxed, *inputs.values()),
            lambda inputs: run(from_onnx, *inputs.values()),
            lambda inputs: session.run(None, inputs),
        )
    )
    for one, other, reference in zip(ours, others, exact, strict=True):
        assert reference.any()
        # Where TVM's frontend took operators apart, graphs are folded differently: what int8 loses differs by less than it loses.
        assert distance(one, reference) <= 1.5 * distance(other, reference) + 1e-3


def distance(found: np.ndarray[Any, Any], reference: np.ndarray[Any, Any]) -> float:
    """Norm of the difference, relative to the reference."""
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))
