"""A model whose tensors are float16 is quantised like its float32 original, and keeps float16 at its border."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import rknn_ep
from rknn_ep.demo import calibration
from rknn_ep.demo.photo import load
from rknn_ep.quantization.metrics import cosine
from tests import models

EP = "RKNNExecutionProvider"


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """PP-OCR cls, every tensor float16, also inputs and outputs."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    path = tmp_path_factory.mktemp("half") / "cls_float16.onnx"
    onnx.save(convert_float_to_float16(onnx.load(models.ppocr_cls()), keep_io_types=False), path)
    return path


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    return calibration.write_calibration(folder, 20, seed=1)["cls"]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    """Other lines than those of the calibration, float32 [1,3,48,192]."""
    folder = calibration.write_calibration(tmp_path_factory.mktemp("lines"), 8, seed=5)["cls"]
    pixels = [load(path) for path in sorted(folder.iterdir())]
    return [((picture[..., ::-1].astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None] for picture in pixels]


def test_a_float16_model_with_calibration_data_runs_as_int8(half: Path, pictures: Path, lines: list[np.ndarray]) -> None:
    rknn_ep.register()
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options = {"input_shapes": "x:1,3,48,192", "calibration": str(pictures)} | calibration.OPTIONS
    ready = ort.InferenceSession(str(half), settings, providers=[(EP, options), "CPUExecutionProvider"])
    assigned = [
        node.op_type for graph in ready.get_provider_graph_assignment_info() if graph.ep_name == EP for node in graph.get_nodes()
    ]
    assert assigned.count("Conv") == sum(node.op_type == "Conv" for node in onnx.load(half).graph.node)
    (given,) = ready.get_inputs()
    assert given.type == "tensor(float16)"
    original = ort.InferenceSession(str(models.ppocr_cls()), providers=["CPUExecutionProvider"])
    found = []
    for line in lines:
        (got,) = ready.run(None, {given.name: line.astype(np.float16)})
        assert got.dtype == np.float16
        found.append(cosine(original.run(None, {"x": line})[0], got))
    assert np.mean(found) >= 0.995  # what cls must reach in int8


def test_the_quantised_model_is_int8_inside_and_float16_outside(half: Path, pictures: Path, tmp_path: Path) -> None:
    report = rknn_ep.quantize(
        half, tmp_path / "qdq.onnx", input_shapes="x:1,3,48,192", calibration=pictures, **calibration.OPTIONS
    ).to_dict()
    written = onnx.load(tmp_path / "qdq.onnx")
    onnx.checker.check_model(written, full_check=True)
    assert report["sections"]["quantization"]["partitions"]["rknn_0"]["quantized_weights"] > 50
    half_weights = [item.name for item in written.graph.initializer if item.data_type == onnx.TensorProto.FLOAT16]
    assert not half_weights
    border = [value.type.tensor_type.elem_type for value in (*written.graph.input, *written.graph.output)]
    assert set(border) == {onnx.TensorProto.FLOAT16}
    line = np.zeros((1, 3, 48, 192), np.float16)
    (got,) = ort.InferenceSession(str(tmp_path / "qdq.onnx"), providers=["CPUExecutionProvider"]).run(None, {"x": line})
    assert got.dtype == np.float16 and np.isfinite(got).all()
