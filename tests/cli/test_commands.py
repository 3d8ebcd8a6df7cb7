"""partition, quantize, compile and run on a small model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from PIL import Image

from tests.cli.conftest import Run


def test_partition_writes_a_table_markdown_and_json(rknn_ep: Run, model: Path) -> None:
    table = rknn_ep("partition", model, "--precision", "fp16")
    assert (table.code, "100.0%" in table.stdout, "rknn_0" in table.stdout) == (0, True, True)
    assert "| rknn_0 |" in rknn_ep("partition", model, "--precision", "fp16", "--format", "markdown").stdout
    found = json.loads(rknn_ep("partition", model, "--precision", "fp16", "--json").stdout)
    assert [part["name"] for part in found["partitions"]] == ["rknn_0"]
    assert found == json.loads(rknn_ep("partition", model, "--precision", "fp16", "-f", "json").stdout)


def test_partition_says_why_a_node_stays(rknn_ep: Run, model: Path) -> None:
    found = json.loads(rknn_ep("partition", model, "--precision", "fp16", "--exclude-ops", "Gemm", "--json").stdout)
    reasons = {entry["op_type"]: entry["reason"] for entry in found["verdicts"] if entry["where"] == "cpu"}
    assert reasons["Gemm"] == "excluded"


def test_a_report_is_also_written_where_asked(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    rknn_ep("partition", model, "--precision", "fp16", "--report", tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["target"] == "rk3588"


def test_a_missing_model_is_an_error(rknn_ep: Run, tmp_path: Path) -> None:
    result = rknn_ep("partition", tmp_path / "none.onnx")
    assert (result.code, "none.onnx" in result.stderr) == (1, True)


def test_a_missing_input_is_said_before_anything_is_prepared(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    options = ("--precision", "fp16", "--report", tmp_path / "report.json")  # written as soon as the session has its plan
    result = rknn_ep("run", model, _sample(tmp_path), tmp_path / "none.npy", *options)
    assert (result.code, "there is no input file" in result.stderr, "none.npy" in result.stderr) == (1, True, True)
    assert not (tmp_path / "report.json").exists()
    assert rknn_ep("run", model, _sample(tmp_path), *options).code == 0
    assert (tmp_path / "report.json").exists()


def test_a_shape_that_does_not_fit_is_shown_beside_the_models(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "small.npy", np.zeros((1, 3, 4, 4), np.float32))
    result = rknn_ep("run", model, tmp_path / "small.npy", "--precision", "fp16")
    wanted = list(ort.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()[0].shape)
    assert (result.code, f"the model takes {wanted}" in " ".join(result.stderr.split())) == (1, True)


def test_quantize_writes_a_model_that_any_onnxruntime_runs(rknn_ep: Run, model: Path, data: Path, tmp_path: Path) -> None:
    output = tmp_path / "new" / "int8.onnx"
    result = rknn_ep("quantize", model, "-o", output, "--calibration", data, "--calibration-method", "minmax")
    assert result.code == 0
    assert f"wrote {output}" in result.stdout
    assert any(node.op_type == "QuantizeLinear" for node in onnx.load(output).graph.node)
    sample = np.load(data)["images"][:1]
    sessions = [ort.InferenceSession(path, providers=["CPUExecutionProvider"]) for path in (output, model)]
    outputs = [session.run(None, {"images": sample})[0] for session in sessions]
    assert np.corrcoef(outputs[0].ravel(), outputs[1].ravel())[0, 1] > 0.99


def test_quantize_without_data_says_what_to_give(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    result = rknn_ep("quantize", model, "-o", tmp_path / "x.onnx")
    assert result.code == 1
    assert "--calibration" in result.stderr
    assert not (tmp_path / "x.onnx").exists()


def test_what_has_nothing_for_the_npu_leaves_with_3(rknn_ep: Run, model: Path, data: Path, tmp_path: Path) -> None:
    everything = "Conv,Relu,GlobalAveragePool,Flatten,Gemm"
    for command in ("quantize", "compile"):
        result = rknn_ep(command, model, "-o", tmp_path / "x.onnx", "--calibration", data, "--exclude-ops", everything)
        assert result.code == 3
        assert "nothing of this model runs on rk3588" in result.stderr


@pytest.mark.parametrize("mode", [0, 1])
def test_a_compiled_model_runs_and_agrees_with_its_original(rknn_ep: Run, model: Path, tmp_path: Path, mode: int) -> None:
    compiled, sample = tmp_path / "ctx.onnx", tmp_path / "x.npy"
    np.save(sample, np.random.default_rng(3).normal(0, 1, (1, 3, 64, 64)).astype(np.float32))
    result = rknn_ep("compile", model, "-o", compiled, "--precision", "fp16", "--embed-mode", mode, "--json")
    assert (result.code, json.loads(result.stdout)["embed_mode"]) == (0, mode)
    kinds = json.loads(rknn_ep("inspect", compiled, "--json").stdout)
    assert (kinds["kind"], kinds["nodes"][0]["ours"], kinds["nodes"][0]["problem"]) == ("epcontext", True, "")
    assert "partition_name rknn_0" in rknn_ep("inspect", compiled).stdout
    output = tmp_path / "out.npz"
    result = rknn_ep("run", compiled, sample, "--reference", model, "-o", output, "--min-cosine", "0.9999", "--json")
    assert result.code == 0, result.stderr
    entry = json.loads(result.stdout)["runs"][0]
    assert entry["outputs"]["logits"]["cosine"] > 0.9999
    assert np.load(output)["logits"].shape == (1, 10)
    result = rknn_ep("run", compiled, sample, "--compare-cpu")
    assert (result.code, "--reference model.onnx" in result.stderr) == (1, True)
    for command in (("partition",), ("compile", "-o", tmp_path / "again.onnx")):
        result = rknn_ep(command[0], compiled, *command[1:])
        assert (result.code, "the model is compiled already: 'rknn_0'" in result.stderr) == (1, True)


def test_a_compiled_model_of_open_dimensions_is_asked_for_its_shapes_once(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    opened = onnx.load(model)
    for number, name in ((2, "height"), (3, "width")):
        opened.graph.input[0].type.tensor_type.shape.dim[number].dim_param = name
    onnx.save(opened, tmp_path / "open.onnx")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)).save(tmp_path / "a.png")
    np.save(tmp_path / "x.npy", np.zeros((1, 3, 32, 32), np.float32))
    shapes = ("--input-shapes", "images:1,3,48,64")
    assert rknn_ep("compile", tmp_path / "open.onnx", "-o", tmp_path / "ctx.onnx", "--precision", "fp16", *shapes).code == 0
    outputs = []
    for given in ((), shapes):
        result = rknn_ep("run", tmp_path / "ctx.onnx", tmp_path / "a.png", *given, "-o", tmp_path / "y.npz")
        assert result.code == 0, result.stderr
        outputs.append(np.load(tmp_path / "y.npz")["logits"])
    np.testing.assert_array_equal(*outputs)
    result = rknn_ep("run", tmp_path / "ctx.onnx", tmp_path / "x.npy")
    assert (result.code, "is [1, 3, 32, 32], and the model takes [1, 3, 48, 64]" in result.stderr) == (1, True)
    result = rknn_ep("run", tmp_path / "open.onnx", tmp_path / "a.png", "--precision", "fp16")
    assert (result.code, "Set input_shapes" in result.stderr) == (1, True)


def test_run_compares_pictures_and_fails_below_the_cosine(rknn_ep: Run, model: Path, data: Path, tmp_path: Path) -> None:
    paths = []
    for index in range(2):
        paths.append(tmp_path / f"{index}.png")
        pixels = np.random.default_rng(index).integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    pictures = ["--mean", "127", "--std", "64", "--calibration", data, "--calibration-method", "minmax"]
    result = rknn_ep("run", model, *paths, *pictures, "--compare-cpu", "-o", tmp_path / "outputs")
    assert result.code == 0, result.stderr
    assert "cosine" in result.stdout
    assert sorted(path.name for path in (tmp_path / "outputs").iterdir()) == ["0.npz", "1.npz"]
    result = rknn_ep("run", model, *paths, *pictures, "--min-cosine", "1.1")
    assert result.code == 3
    assert "below 1.1" in result.stderr


def test_run_says_what_runs_where(rknn_ep: Run, model: Path, data: Path, tmp_path: Path) -> None:
    result = rknn_ep("run", model, _sample(tmp_path), "--precision", "fp16", "--exclude-ops", "Gemm", "--json")
    nodes = json.loads(result.stdout)["nodes"]
    assert nodes["RKNNExecutionProvider"] >= 3
    assert nodes["CPUExecutionProvider"] >= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((1, 3, 32, 64), np.float32), "[1, 3, 32, 64], and the model takes [1, 3, 64, 64]"),
        (np.zeros((1, 3, 64, 64), np.complex64), "complex64, and the model takes float32"),
        ({"pictures": np.zeros(3), "b": np.zeros(3)}, "has arrays ['b', 'pictures'], and the model's inputs are ['images']"),
        (b"no array", "cannot be read"),
    ],
)
def test_run_names_what_is_wrong_with_an_input(rknn_ep: Run, model: Path, tmp_path: Path, content: object, message: str) -> None:
    path = tmp_path / ("x.npz" if isinstance(content, dict) else "x.npy")
    match content:
        case dict():
            np.savez(path, **content)
        case bytes():
            path.write_bytes(content)
        case _:
            np.save(path, content)
    result = rknn_ep("run", model, path, "--precision", "fp16")
    assert result.code == 1
    assert message in result.stderr


def test_run_refuses_outputs_that_would_overwrite_each_other(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    path = _sample(tmp_path)
    assert rknn_ep("run", model, path, path, "-o", tmp_path / "outputs").code == 2
    assert rknn_ep("run", model, path, tmp_path / "y.npy", "-o", tmp_path / "outputs.npz").code == 2


def test_strict_is_an_error_on_the_command_line_too(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    for command in (("compile", model, "-o", tmp_path / "x.onnx"), ("run", model, _sample(tmp_path))):
        result = rknn_ep(*command, "--precision", "fp16", "--strict", "--min-partition-macs", 10**12)
        assert result.code == 1
        assert "would run on the CPU and strict=1" in result.stderr
        assert "Traceback" not in result.stderr


def _sample(folder: Path) -> Path:
    path = folder / "x.npy"
    np.save(path, np.random.default_rng(3).normal(0, 1, (1, 3, 64, 64)).astype(np.float32))
    return path
