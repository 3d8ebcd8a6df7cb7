"""Bad calibration data through the public API: every error is ours, and names the file and the input."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import parser

import rknn_ep
from rknn_ep.errors import CalibrationError

CONV = """<ir_version: 8, opset_import: ["": 17]> two (float[1,3,8,8] image, float[1,4,8,8] state) => (float[1,4,8,8] y)
<float[4,3,3,3] w = {%s}> { c = Conv<pads=[1,1,1,1]>(image, w) y = Add(c, state) }"""
"""Two inputs: image and state."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "two.onnx"
    onnx.save(parser.parse_model(CONV % ", ".join(str(round(float(x), 3)) for x in np.linspace(-1, 1, 108))), path)
    return path


def samples(count: int = 20) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    shapes = {"image": (count, 3, 8, 8), "state": (count, 4, 8, 8)}
    return {name: random.normal(0, 1, shape).astype(np.float32) for name, shape in shapes.items()}


def quantize(model: Path, calibration: Path) -> None:
    rknn_ep.quantize(model, calibration.parent / "qdq.onnx", min_partition_macs=0, calibration=calibration)


def run_file(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    """The only output; without VNNI the faster kernels of AVX2 would saturate."""
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.x64quantprecision", "1")
    return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infin")])
def test_a_value_that_is_not_finite_names_file_and_input(model: Path, tmp_path: Path, value: float, word: str) -> None:
    arrays = samples()
    arrays["state"][7, 1, 2, 3] = value
    np.savez(tmp_path / "typical.npz", **arrays)
    with pytest.raises(CalibrationError, match=rf"(?is)typical\.npz.*state.*({word})|{word}.*state") as caught:
        quantize(model, tmp_path / "typical.npz")
    assert "typical.npz" in str(caught.value) and "state" in str(caught.value)
    assert not (tmp_path / "qdq.onnx").exists()


def test_a_missing_input_and_a_wrong_shape_say_what_was_expected_and_found(model: Path, tmp_path: Path) -> None:
    arrays = samples()
    np.savez(tmp_path / "half.npz", image=arrays["image"])
    with pytest.raises(CalibrationError, match="state"):
        quantize(model, tmp_path / "half.npz")
    np.savez(tmp_path / "wrong.npz", image=arrays["image"], state=arrays["state"][:, :, :5])
    with pytest.raises(CalibrationError, match=r"(?s)wrong\.npz.*state.*1, ?4, ?8, ?8.*5, ?8"):
        quantize(model, tmp_path / "wrong.npz")


def test_an_empty_folder_and_a_list_that_names_nothing(model: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CalibrationError, match="empty"):
        quantize(model, tmp_path / "empty")
    (tmp_path / "list.txt").write_text("image0.npy state0.npy\n")
    with pytest.raises(CalibrationError, match=r"image0\.npy"):
        quantize(model, tmp_path / "list.txt")


def test_data_that_is_not_there_is_missed_even_where_nothing_goes_to_the_npu(model: Path, tmp_path: Path) -> None:
    for work in (rknn_ep.quantize, rknn_ep.compile):
        with pytest.raises(CalibrationError, match=r"no calibration data at .*fotos\n"):
            work(model, tmp_path / "out.onnx", calibration=tmp_path / "fotos", exclude_ops="Conv,Add")
    assert not (tmp_path / "out.onnx").exists()


def test_inputs_with_a_default_need_no_data(model: Path, tmp_path: Path) -> None:
    """Old exporters list every weight among the inputs."""
    proto, arrays = onnx.load(model), samples()
    weight = proto.graph.initializer[0]
    proto.graph.input.append(onnx.helper.make_tensor_value_info(weight.name, weight.data_type, weight.dims))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(arrays["state"][:1], "state"))
    onnx.save(proto, tmp_path / "defaults.onnx")
    np.save(tmp_path / "image.npy", arrays["image"])
    quantize(tmp_path / "defaults.onnx", tmp_path / "image.npy")
    feeds = {"image": arrays["image"][:1]}
    got, wanted = run_file(tmp_path / "qdq.onnx", feeds), run_file(tmp_path / "defaults.onnx", feeds)
    # Eight bits over the sum and what goes into it, and weights: a few steps of about 0.1.
    assert np.abs(got - wanted).max() < 0.3
    # A default is no constant: what a program feeds instead counts.
    other = {name: array[1:2] for name, array in arrays.items()} | {"w": -onnx.numpy_helper.to_array(weight)}
    got, others = run_file(tmp_path / "qdq.onnx", other), run_file(tmp_path / "defaults.onnx", other)
    assert np.abs(got - others).max() < 0.5 < np.abs(others - wanted).max()


def test_a_list_with_two_files_a_line_is_calibrated(model: Path, tmp_path: Path) -> None:
    arrays = samples(20)
    lines = []
    for index in range(20):
        for name, array in arrays.items():
            np.save(tmp_path / f"{name}{index}.npy", array[index : index + 1])
        lines.append(f"image{index}.npy state{index}.npy")
    (tmp_path / "list.txt").write_text("\n".join(lines))
    quantize(model, tmp_path / "list.txt")
    feeds = {name: array[:1] for name, array in arrays.items()}
    got, wanted = run_file(tmp_path / "qdq.onnx", feeds), run_file(model, feeds)
    # Eight bits over the sum and what goes into it, and weights: a few steps of about 0.1.
    assert np.abs(got - wanted).max() < 0.3


@pytest.mark.parametrize(("count", "words"), [(3, "20"), (230, "200"), (40, None)])
def test_too_few_and_too_many_samples_get_advice(
    model: Path, tmp_path: Path, count: int, words: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    np.savez(tmp_path / "typical.npz", **samples(count))
    with caplog.at_level(logging.WARNING, logger="rknn_ep"):
        quantize(model, tmp_path / "typical.npz")
    said = [record.message for record in caplog.records if "calibration" in record.message]
    assert bool(said) == (words is not None) and all(words in line for line in said if words)


def test_boxes_and_scores_in_one_output_are_warned_of_and_stay_apart(tmp_path: Path) -> None:
    """A detection head whose only output joins boxes of hundreds of pixels and scores below one."""
    weights = ", ".join(str(round(float(x), 3)) for x in np.linspace(-1, 1, 108))
    text = """<ir_version: 8, opset_import: ["": 17]> head (float[1,3,8,8] x) => (float[1,8,8,8] y)
    <float[4,3,3,3] w = {WEIGHTS}, float big = {400.0}>
    { b = Conv<pads=[1,1,1,1]>(x, w) boxes = Mul(b, big) s = Conv<pads=[1,1,1,1]>(x, w) scores = Sigmoid(s)
      y = Concat<axis=1>(boxes, scores) }""".replace("WEIGHTS", weights)
    onnx.save(parser.parse_model(text), tmp_path / "head.onnx")
    random = np.random.default_rng(1)
    np.save(tmp_path / "x.npy", random.normal(0, 1, (20, 3, 8, 8)).astype(np.float32))
    report = rknn_ep.quantize(
        tmp_path / "head.onnx", tmp_path / "qdq.onnx", min_partition_macs=0, calibration=tmp_path / "x.npy"
    ).to_dict()
    notes = report["sections"]["quantization"]["partitions"]["rknn_0"]
    (warning,) = notes["warnings"]
    assert warning["kind"] == "concat-of-different-ranges" and warning["tensor"] == "y"
    x = random.normal(0, 1, (1, 3, 8, 8)).astype(np.float32)
    got, wanted = (run_file(tmp_path / name, {"x": x}) for name in ("qdq.onnx", "head.onnx"))
    # A grid over the boxes has steps of tens: the scores would all be zero. On their own they keep two decimals.
    assert np.abs(got[:, 4:] - wanted[:, 4:]).max() < 0.05 and len(np.unique(got[:, 4:])) > 20
