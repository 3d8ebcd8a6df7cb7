"""What is not a bundle of ours is refused with the reason."""

from __future__ import annotations

import ctypes
from pathlib import Path

import pytest

from rknn_ep.artifact.bundle import Bundle, write_bundle
from tests.simulator import bundles, driver


def refused(library: ctypes.CDLL, model: bytes | Path, capfd: pytest.CaptureFixture[str]) -> str:
    capfd.readouterr()
    code, context = driver.init_code(library, model)
    assert (code, context) == (driver.MODEL_INVALID, 0)
    message = capfd.readouterr().err
    assert message.startswith("E rknn_ep simulator: rknn_init: ")
    return message


def test_a_vendor_model_is_named_and_the_way_out_shown(
    library: ctypes.CDLL, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = b"RKNN\0\0\0\0" + bytes(64)
    path = tmp_path / "yolo.rknn"
    path.write_bytes(content)
    for model in (content, path):
        assert "vendor .rknn" in refused(library, model, capfd)
    assert "RKNN3" in refused(library, b"RKNX" + bytes(64), capfd)


def test_a_vendor_model_runs_as_the_bundle_beside_it(library: ctypes.CDLL, tmp_path: Path) -> None:
    (tmp_path / "yolo.v5.rknn").write_bytes(b"RKNN\0\0\0\0" + bytes(64))
    bundles.bundle(tmp_path / "yolo.v5.rknnctx", bundles.relu())
    code, context = driver.init_code(library, tmp_path / "yolo.v5.rknn")
    assert code == 0 and library.rknn_destroy(context) == 0


def test_a_missing_file_and_a_folder(library: ctypes.CDLL, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "No such file" in refused(library, tmp_path / "absent.rknnctx", capfd)
    assert "not a file" in refused(library, tmp_path, capfd)


def test_a_cut_bundle_at_every_length(library: ctypes.CDLL, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    content = bundles.bundle(tmp_path / "whole.rknnctx", bundles.relu()).read_bytes()
    for length in [1, 3, 21, 22, 100, len(content) // 2, len(content) - 1]:
        refused(library, content[:length], capfd)


def test_a_flipped_byte_in_the_weights_is_seen(library: ctypes.CDLL, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = bundles.bundle(tmp_path / "whole.rknnctx", bundles.relu())
    offset, size = Bundle.open(path).entry("simulation.onnx")
    content = bytearray(path.read_bytes())
    content[offset + size // 2] ^= 1
    assert "checksum of 'simulation.onnx'" in refused(library, bytes(content), capfd)


def test_a_bundle_without_simulation_says_what_is_missing(
    library: ctypes.CDLL, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entries = dict(bundles.compiled(bundles.relu()).entries)
    del entries["simulation.onnx"]
    write_bundle(tmp_path / "stripped.rknnctx", entries, {})
    assert "stripped of its simulation" in refused(library, tmp_path / "stripped.rknnctx", capfd)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "2", "'format=2' makes no sense"),
        ("inputs", "2", "'input.1.name=' makes no sense"),
        ("input.0.name", "z", "the simulation model has 'x'"),
        ("input.0.dims", "1,3,4,6", "float32[1,3,4,6]"),
        ("output.0.dims", "1,3,4,6", "float32[1,3,4,6]"),
        ("output.0.dtype", "INT8", "describes 'y' as int8"),
        ("input.0.dims", "1,0,4,5", "makes no sense"),
        ("input.0.dims", "65536,65536,65536,65536", "makes no sense"),
        ("input.0.dtype", "COMPLEX64", "makes no sense"),
        ("input.0.qtype", "INT4", "makes no sense"),
        ("core_masks", "1,x", "makes no sense"),
    ],
)
def test_a_description_that_is_not_true_of_the_model_is_refused(
    library: ctypes.CDLL, tmp_path: Path, capfd: pytest.CaptureFixture[str], key: str, value: str, message: str
) -> None:
    path = bundles.bundle(tmp_path / "lie.rknnctx", bundles.relu(), text={key: value})
    assert message in refused(library, path, capfd)


def test_external_data_may_not_name_another_file(library: ctypes.CDLL, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entries = dict(bundles.compiled(bundles.relu()).entries)
    proto = bundles.relu()
    weight = proto.graph.initializer.add(name="w", data_type=1, dims=[4], data_location=1)
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "16")):
        weight.external_data.add(key=key, value=value)
    entries["simulation.onnx"] = proto.SerializeToString()
    write_bundle(tmp_path / "thief.rknnctx", entries, {})
    assert "outside the bundle" in refused(library, tmp_path / "thief.rknnctx", capfd)


def test_an_option_that_does_not_exist_is_refused(library: ctypes.CDLL, tmp_path: Path) -> None:
    path = bundles.bundle(tmp_path / "relu.rknnctx", bundles.relu())
    for options in ("simulation=precise", "simulation_threads=0", "simulation_threads=many"):
        with pytest.raises(driver.RknnError) as error:
            driver.Context(library, path, options=options)
        assert error.value.code == driver.PARAM_INVALID
