"""`rknn-ep inspect`: told by content, not by name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rknn_ep.artifact.bundle import write_bundle
from rknn_ep.artifact.cache import Cache
from tests.cli.conftest import Run

MANIFEST = {"partition": "rknn_0", "target": "rk3588", "precision": "int8", "macs": 1000}
ENTRIES = {"simulation.onnx": b"onnx", "simulation.data": bytes(5000)}


def test_a_bundle(rknn_ep: Run, tmp_path: Path) -> None:
    path = tmp_path / "strange.name"
    write_bundle(path, ENTRIES, MANIFEST)
    found = json.loads(rknn_ep("inspect", path, "--json").stdout)
    assert found["kind"] == "bundle"
    assert found["manifest"]["target"] == "rk3588"
    assert {item["name"]: item["bytes"] for item in found["entries"]} == {"simulation.onnx": 4, "simulation.data": 5000}
    assert all(item["offset"] % 4096 == 0 for item in found["entries"])
    text = rknn_ep("inspect", path).stdout
    assert "rk3588" in text and "simulation.data" in text


def test_a_damaged_bundle_is_an_error(rknn_ep: Run, tmp_path: Path) -> None:
    path = tmp_path / "cut.rknnctx"
    write_bundle(path, ENTRIES, MANIFEST)
    path.write_bytes(path.read_bytes()[:-100])
    result = rknn_ep("inspect", path)
    assert result.code == 1
    assert str(path) in result.stderr


def test_an_ordinary_model(rknn_ep: Run, model: Path) -> None:
    found = json.loads(rknn_ep("inspect", model, "--json").stdout)
    assert found["kind"] == "onnx"
    assert found["inputs"] == [{"name": "images", "dtype": "FLOAT", "shape": [1, 3, 64, 64]}]
    assert found["operators"]["Conv"] == 2


def test_an_ordinary_model_says_what_it_would_need(rknn_ep: Run, model: Path) -> None:
    memory = json.loads(rknn_ep("inspect", model, "--target", "rk3566", "--json").stdout)["memory"]
    assert memory["target"] == "rk3566"
    assert memory["int8"]["source"] == memory["fp16"]["source"] == "estimate"
    assert memory["int8"]["weight_bytes"] < memory["fp16"]["weight_bytes"]
    assert "weight_bytes" in rknn_ep("inspect", model).stdout
    assert rknn_ep("inspect", model, "--target", "rk9999").code == 2


def test_a_dynamic_model_needs_shapes_first(rknn_ep: Run, tmp_path: Path) -> None:
    import onnx

    from tests.docs.test_docs import a_model

    dynamic = a_model()
    dynamic.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    path = tmp_path / "dynamic.onnx"
    onnx.save(dynamic, path)
    assert "height" in json.loads(rknn_ep("inspect", path, "--json").stdout)["memory"]["unknown"]
    found = json.loads(rknn_ep("inspect", path, "--input-shapes", "height=64", "--json").stdout)
    assert found["memory"]["int8"]["total_bytes"] > 0


def test_the_cache(rknn_ep: Run, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "elsewhere")
    cache.put_bundle("a-rknn_0", lambda path: write_bundle(path, ENTRIES, MANIFEST))
    (tmp_path / "elsewhere" / "bundles" / "b-rknn_0.rknnctx").write_bytes(b"damaged")
    found = json.loads(rknn_ep("inspect", tmp_path / "elsewhere", "--cache", "--json").stdout)
    assert len(found["bundles"]) == 2
    by_file = {Path(item["file"]).name: item for item in found["bundles"]}
    assert by_file["a-rknn_0.rknnctx"]["target"] == "rk3588"
    assert "damaged" in by_file["b-rknn_0.rknnctx"]
    assert rknn_ep("inspect", tmp_path / "elsewhere", "--cache").code == 0
    assert json.loads(rknn_ep("inspect", "--cache", "--json").stdout)["bundles"] == []


def test_what_is_none_of_them_is_an_error(rknn_ep: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(3))
    for arguments, code in (((path,), 1), ((tmp_path,), 1), ((), 2)):
        result = rknn_ep("inspect", *arguments)
        assert result.code == code
        assert result.stderr.startswith("error: ")


def test_every_mutation_of_a_rknn_file_is_an_error_or_metadata(rknn_ep: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.rknn"
    for content in (b"RKNN", b"RKNN" + bytes(60), b"RKNN" + b"\xff" * 5000):
        path.write_bytes(content)
        assert rknn_ep("inspect", path).code in (0, 1)


def test_of_a_rknn_file_people_see_inputs_and_outputs_and_programs_everything(rknn_ep: Run) -> None:
    path = Path(__file__).parents[1] / "artifact/data/two_convolutions_rk3588_int8.rknn"
    lines = rknn_ep("inspect", path).stdout.splitlines()
    found = json.loads(rknn_ep("inspect", path, "--json").stdout)["metadata"]
    [tensor] = found["graphs"][0]["inputs"]
    assert any(tensor["name"] in line and "x".join(map(str, tensor["dims"])) in line for line in lines)
    assert found["graphs"][0]["nodes"]
    assert len(lines) < 50


@pytest.mark.parametrize("format", [(), ("--json",)])
def test_a_rknn_file_is_read_once(rknn_ep: Run, monkeypatch: pytest.MonkeyPatch, format: tuple[str, ...]) -> None:
    """They have hundreds of megabytes."""
    path = Path(__file__).parents[1] / "artifact/data/two_convolutions_rk3588_int8.rknn"
    whole: list[Path] = []
    read_bytes = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: (whole.append(self), read_bytes(self))[1])
    assert rknn_ep("inspect", path, *format).code == 0
    assert whole.count(path) == 1
