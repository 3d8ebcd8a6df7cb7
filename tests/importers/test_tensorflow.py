"""TensorFlow and TFLite models, against TensorFlow itself. tf2onnx and TensorFlow run in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from skimage import data, transform

import rknn_ep
from rknn_ep.errors import ModelError, NotInstalledError, OptionError
from rknn_ep_tensorflow.convert import PYTHON_VARIABLE, available
from tests import models
from tests.required import missing

if why := available():
    missing("tensorflow", why)

FLOAT32_SUMS = 1e-5
"""Relative to the largest output: float32 sums in another order."""


def tensorflow(*arguments: object) -> None:
    python = os.environ.get(PYTHON_VARIABLE, sys.executable)
    script = Path(__file__).with_name("tensorflow_side.py")
    result = subprocess.run([python, script, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr[-2000:]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorflow")
    tensorflow("write", folder)
    return folder


def computed(model: bytes, values: np.ndarray) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {session.get_inputs()[0].name: values}), strict=True))


@pytest.mark.parametrize("form", ["small.keras", "saved/saved_model.pb", "frozen.pb"])
def test_tensorflow_as_tensorflow_computes_it(form: str, written: Path) -> None:
    options = {}
    if form == "frozen.pb":
        names = (written / "names").read_text().split()
        options = {"tensorflow.inputs": names[0], "tensorflow.outputs": names[1]}
    model = rknn_ep.import_model(written / form, **options)
    (found,) = computed(model, np.load(written / "input.npy")).values()
    expected = np.load(written / "output.npy")
    np.testing.assert_allclose(found, expected, atol=FLOAT32_SUMS * np.abs(expected).max())


@pytest.mark.models
def test_a_real_tflite_model_on_the_simulated_npu(tmp_path: Path) -> None:
    path = models.face_detection()
    face = transform.resize(data.astronaut()[:256, 100:356], (128, 128)).astype(np.float32) * 2 - 1
    np.save(tmp_path / "input.npy", face[None])
    tensorflow("tflite", path, tmp_path)
    model = rknn_ep.import_model(path)
    found = computed(model, face[None])
    for name, values in found.items():
        expected = np.load(tmp_path / f"output_{name}.npy")
        np.testing.assert_allclose(values, expected, atol=1e-4 * np.abs(expected).max())  # boxes reach 200 in 30 layers
    assert found["classificators"].max() > 0  # a logit: the face is seen

    report = rknn_ep.compile(path, tmp_path / "ctx.onnx", target="rk3588").to_dict()
    assert report["macs"]["npu_share"] == 1.0
    rknn_ep.register()
    session = onnxruntime.InferenceSession(tmp_path / "ctx.onnx", providers=["RKNNExecutionProvider", "CPUExecutionProvider"])
    boxes, scores = session.run(["regressors", "classificators"], {session.get_inputs()[0].name: face[None]})
    assert np.argmax(scores) == np.argmax(found["classificators"])
    cosine = np.vdot(boxes, found["regressors"]) / np.linalg.norm(boxes) / np.linalg.norm(found["regressors"])
    assert cosine > 0.999  # float16 through 30 layers


def test_a_frozen_graph_asks_for_its_tensors(written: Path) -> None:
    with pytest.raises(OptionError, match=r"'frozen\.pb' is a frozen graph"):
        rknn_ep.import_model(written / "frozen.pb")


def test_a_damaged_file_names_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "broken.tflite"
    path.write_bytes(b"TFL3 is not here" * 10)
    with pytest.raises(ModelError, match=r"broken\.tflite' cannot be converted: .*\w"):
        rknn_ep.import_model(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.tflite': no such file"):
        rknn_ep.import_model(tmp_path / "none.tflite")


def test_a_python_that_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PYTHON_VARIABLE, str(tmp_path / "python"))
    (tmp_path / "m.tflite").write_bytes(b"x")
    with pytest.raises(OptionError, match=f"{PYTHON_VARIABLE}=.* cannot be started"):
        rknn_ep.import_model(tmp_path / "m.tflite")


def test_without_tensorflow_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import rknn_ep_tensorflow.convert as module

    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(NotInstalledError, match=r"m\.tflite' cannot be read here\n  tensorflow and tf2onnx: python -m pip"):
        rknn_ep.import_model(tmp_path / "m.tflite")
