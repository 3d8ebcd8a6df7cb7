"""Caffe and Darknet through the toolkit's loaders, against OpenCV's own readers of these formats."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import rknn_ep
from rknn_ep.errors import ModelError, NotInstalledError, RknnEpError
from rknn_ep_toolkit2.environment import current
from rknn_ep_toolkit2.errors import ToolkitError
from tests.importers import caffe, darknet
from tests.required import missing

pytestmark = pytest.mark.toolkit2

FLOAT32_SUMS = 1e-5
"""Both sides sum up to 1,536 float32 products of size below 1, in another order."""


@pytest.fixture(scope="module", autouse=True)
def _toolkit() -> None:
    try:
        current()
    except ToolkitError as error:
        missing("toolkit2", str(error))


def opencv(reader: str, files: list[Path], picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    from rknn_ep_toolkit2.worker import workers

    stream = io.BytesIO()
    np.save(stream, picture)
    result = workers().run(
        Path(__file__).with_name("opencv.py"),
        {"reader": reader, "files": [file.name for file in files]},
        files={"input.npy": stream.getvalue(), **{file.name: file for file in files}},
        collect=["output.npy"],
    )
    return np.load(io.BytesIO(result.files["output.npy"]))


def picture(shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).random(shape, dtype=np.float32)


def computed(model: bytes, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (only,) = session.get_inputs()
    return session.run(None, {only.name: values})[0]


def test_caffe_as_opencv_reads_it(tmp_path: Path) -> None:
    path, values = caffe.write(tmp_path), picture(caffe.INPUT)
    expected = opencv("readNetFromCaffe", [path, path.with_suffix(".caffemodel")], values)
    found = computed(rknn_ep.import_model(path), values)
    assert found.shape == (1, 10)
    np.testing.assert_allclose(found, expected, atol=FLOAT32_SUMS)


def test_darknet_as_opencv_reads_it(tmp_path: Path) -> None:
    path, values = darknet.write(tmp_path), picture(darknet.INPUT)
    headless = darknet.write(tmp_path, with_yolo=False)
    expected = opencv("readNetFromDarknet", [headless, headless.with_suffix(".weights")], values)
    found = computed(rknn_ep.import_model(path), values)
    assert found.shape == (1, 21, 32, 32)
    # The toolkit adds 1e-5 to a variance, Darknet and OpenCV 1e-6: 5e-6 of a value in each of three normalisations.
    np.testing.assert_allclose(found, expected, atol=FLOAT32_SUMS + 3 * 5e-6 * np.abs(expected).max())


@pytest.mark.parametrize("writer", [caffe, darknet], ids=["caffe", "darknet"])
def test_it_compiles_and_runs_on_the_simulated_npu(writer: Any, tmp_path: Path) -> None:
    path, values = writer.write(tmp_path), picture(writer.INPUT)
    samples = tmp_path / "samples.npy"
    np.save(samples, np.random.default_rng(2).random((8, *writer.INPUT), dtype=np.float32))
    report = rknn_ep.compile(path, tmp_path / "ctx.onnx", target="rk3588", calibration=samples, min_partition_macs=0)
    assert report.to_dict()["macs"]["npu_share"] == 1.0
    rknn_ep.register()
    session = onnxruntime.InferenceSession(tmp_path / "ctx.onnx", providers=["RKNNExecutionProvider", "CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    found, expected = session.run(None, {name: values})[0], computed(rknn_ep.import_model(path), values)
    cosine = float(np.vdot(found, expected) / (np.linalg.norm(found) * np.linalg.norm(expected)))
    assert cosine > 0.99  # int8 on random weights: a wrong layout or scale falls far below


def test_weights_elsewhere(tmp_path: Path) -> None:
    path = caffe.write(tmp_path)
    here = rknn_ep.import_model(path)
    elsewhere = path.with_suffix(".caffemodel").rename(tmp_path / "iteration_400.caffemodel")
    assert rknn_ep.import_model(path, **{"toolkit2.weights": elsewhere}) == here


def test_missing_weights_are_named(tmp_path: Path) -> None:
    path = caffe.write(tmp_path)
    path.with_suffix(".caffemodel").unlink()
    with pytest.raises(ModelError, match=r"small\.caffemodel': no such file\n  toolkit2\.weights names"):
        rknn_ep.import_model(path)


def test_a_missing_network_does_not_ask_for_weights(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nothing\.cfg': no such file$"):
        rknn_ep.import_model(tmp_path / "nothing.cfg")


@pytest.mark.parametrize("writer", [caffe, darknet], ids=["caffe", "darknet"])
def test_cut_weights_are_refused(writer: Any, tmp_path: Path) -> None:
    """The loaders themselves go on with invented numbers."""
    path = writer.write(tmp_path)
    weights = path.with_suffix(".caffemodel" if writer is caffe else ".weights")
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])
    with pytest.raises(RknnEpError):
        rknn_ep.import_model(path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = caffe.write(tmp_path)
    path.write_text(path.read_text().replace('"left"', '"port"'))
    with pytest.raises(ModelError, match=r"does not hold the weights of layer 'port' \(8, 16, 1, 1\)"):
        rknn_ep.import_model(path)


def test_a_network_that_is_none_is_the_toolkits_refusal(tmp_path: Path) -> None:
    path = caffe.write(tmp_path)
    path.write_text("layer { nonsense")
    with pytest.raises(
        ToolkitError, match=r"(?s)small\.prototxt' with .*small\.caffemodel': .*no Caffe network that the toolkit reads"
    ):
        rknn_ep.import_model(path)


def test_without_a_toolkit_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKNN_EP_TOOLKIT", str(tmp_path / "no-python"))
    with pytest.raises(NotInstalledError, match=r"small\.prototxt' cannot be read here"):
        rknn_ep.import_model(caffe.write(tmp_path))
