"""Real models for five SoCs with the real toolkit: they compile from our quantisation, and an independent reader opens them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.models import yolo_shaped
from rknn_ep import pipeline
from rknn_ep.graph import load_model
from rknn_ep.options import Options
from rknn_ep.plugins import plugins
from rknn_ep.records import CompileRequest
from rknn_ep_toolkit2.compiler import compile_partition, custom_string
from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.vendor_copy import vendor_copy
from tests import models
from tests.peer_environment import python_with
from tests.required import missing
from tests.toolkit2.networks import with_simulation

pytestmark = [pytest.mark.toolkit2, pytest.mark.models]

READER = "rknncli==0.3.3"
FLOAT_TARGETS = ("rk3588", "rk3576", "rk3568", "rk3562")
TARGETS = (*FLOAT_TARGETS, "rv1106")


@dataclass(frozen=True)
class Network:
    """A model and the shape of its one input."""

    model: Callable[[], Path | bytes]
    name: str
    shape: tuple[int, ...]


NETWORKS = {
    "PP-OCRv4 det": Network(models.ppocr_det, "x", (1, 3, 480, 480)),
    "PP-OCRv4 rec": Network(models.ppocr_rec, "x", (1, 3, 48, 320)),
    "PP-OCR cls": Network(models.ppocr_cls, "x", (1, 3, 48, 192)),
    "EfficientNet-Lite0": Network(models.efficientnet_lite0, "", (1, 3, 224, 224)),
    "YOLO-shaped": Network(lambda: yolo_shaped().SerializeToString(), "x", (1, 3, 320, 320)),
}
QUICK = [("PP-OCR cls", target) for target in ("rk3588", "rk3576")]


@pytest.fixture(scope="module")
def reader(toolkit: Toolkit) -> Callable[[Path], dict]:
    """What rknncli says about a file."""
    python = python_with(READER, "RKNN_EP_RKNNCLI_PYTHON")
    if isinstance(python, str):
        missing("rknncli", python)
    script = Path(__file__).with_name("independent_reader.py")

    def read(path: Path) -> dict:
        done = subprocess.run([python, "-I", script, path], check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return read


@cache
def quantised(name: str, target: str, folder: Path) -> list[CompileRequest]:
    """The partitions of a model, quantised on four photographs, as the compiler gets them."""
    network = NETWORKS[name]
    model = load_model(network.model())
    size = network.shape[:1:-1]
    pictures = [models.pictures()[index] for index in range(4)]
    samples = np.stack([_picture(path, (size[0], size[1])) for path in pictures])
    data = folder / f"{size[0]}x{size[1]}.npz"
    np.savez(data, **{model.graph.inputs[0].name or "": samples})
    given = {"target": target, "calibration": data, "calibration_method": "minmax"}
    shapes = {"input_shapes": f"{network.name}:{','.join(map(str, network.shape))}"} if network.name else {}
    options, manager = Options.parse({**given, **shapes}), plugins()
    plan = pipeline.make_plan(model, options, manager)
    [made], _ = pipeline._quantize([plan], options, manager, lambda message, share: None)
    parts = [pipeline._request(plan, part, one, options, manager) for part, one in zip(plan.partitions, made, strict=True)]
    return [with_simulation(part) for part in parts]


def _picture(path: Path, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    values = np.asarray(Image.open(path).convert("RGB").resize(size), np.float32) / 127.5 - 1
    return values.transpose(2, 0, 1)[None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibration")


def requests(name: str, target: str, folder: Path) -> list[CompileRequest]:
    """Planned for the SoC itself where that makes another model of it, else shared as with --also-target."""
    planned = target if target in ("rk3568", "rv1106") else "rk3588"
    return [replace(one, target=plugins().target(target)) for one in quantised(name, planned, folder)]


def check(name: str, target: str, folder: Path, path: Path, read: Callable[[Path], dict]) -> None:
    kept = 0
    parts = requests(name, target, folder)
    assert parts
    for request in parts:
        result = compile_partition(request)
        parameters = result.notes["parameters"]
        assert parameters["differences"] == [], (request.partition, parameters["differences"])
        kept += parameters["scales_kept"]
        content = result.entries[f"{target}.rknn"]
        if target == "rv1106":  # a format that rknncli does not know, nor the project's own reader
            assert content[:4] == b"RKNN" and parameters["read_from"] == ["toolkit"]
            kinds = {
                node.split()[0] for layer in result.notes["layers"] if layer["dtype"] == "FLOAT16" for node in layer["nodes"]
            }
            assert kinds <= {"Softmax", "LayerNormalization", "Transpose", "Reshape"}, "every product is one of integers"
            continue
        path.write_bytes(content)
        told = read(path)
        graph = onnx.load_model_from_string(request.model).graph
        assert told["target"] == [target] and told["source"] == "ONNX" and told["nodes"] > 0
        assert told["custom_string"] == custom_string(request.partition, request.entries)
        ours = vendor_copy(request.model, name).parameters
        for side, values in (("inputs", graph.input), ("outputs", graph.output)):
            assert [one["name"] for one in told[side]] == [value.name for value in values]
            for one, value in zip(told[side], values, strict=True):
                assert one["shape"] == [dim.dim_value for dim in value.type.tensor_type.shape.dim]
                if one["scale"]:  # float32 scales that went through minimum and maximum
                    assert (one["scale"][0], one["zero_point"][0]) == (
                        pytest.approx(ours[value.name][0], rel=1e-6),
                        ours[value.name][1],
                    )
    assert kept >= 50, "nearly nothing was compared"


@pytest.mark.parametrize(("name", "target"), QUICK)
def test_a_real_model_compiles_with_our_scales(name: str, target: str, reader: Callable, folder: Path, tmp_path: Path) -> None:
    check(name, target, folder, tmp_path / "model.rknn", reader)


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", NETWORKS)
def test_every_real_model_compiles_for_every_soc_with_our_scales(
    name: str, target: str, reader: Callable, folder: Path, tmp_path: Path
) -> None:
    check(name, target, folder, tmp_path / "model.rknn", reader)


@pytest.mark.slow
def test_every_operator_of_a_detector_is_compared_alone(toolkit: Toolkit, folder: Path, tmp_path: Path) -> None:
    """Its outputs are read inside and leave; given twice, the vendor's simulator died of one of them."""
    from rknn_ep.artifact.bundle import Bundle, write_bundle
    from rknn_ep_toolkit2.verification import Sample, verify_partition

    (request,) = requests("YOLO-shaped", "rk3588", folder)
    write_bundle(tmp_path / "yolo.rknnctx", request.entries, {"partition": request.partition})
    x = np.load(folder / "320x320.npz")["x"][0]
    result = verify_partition(Bundle.open(tmp_path / "yolo.rknnctx"), [Sample([x])], {}, layers=True)
    assert len(result.layers) >= 150
    assert [row for row in result.layers if row.agreement.share_exact < 0.999] == []
    exact = sum(row.agreement.exact for row in result.layers) / sum(row.agreement.count for row in result.layers)
    assert exact >= 0.99999, "of all values of all operators"
