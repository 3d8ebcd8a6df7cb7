"""A vendor .rknn is simulated by its companion bundle; `rknn-ep simulator-env` says what to export."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rknn_ep.artifact.rknn_file import read_metadata
from rknn_ep_simulator.environment import environment
from rknn_ep_simulator.stand_in import custom_string, write_stand_in
from tests.simulator import bundles, driver
from tests.simulator.driver import Context

SHAPE = (1, 3, 4, 5)
X = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float16).astype(np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    return bundles.bundle(tmp_path / "made" / "rknn_0.rknnctx", bundles.relu(SHAPE))


@pytest.fixture
def rknn(tmp_path: Path, bundle: Path) -> Path:
    (tmp_path / "board").mkdir()
    return write_stand_in(bundle, tmp_path / "board" / "model.rknn")


def works(library: ctypes.CDLL, model: Path | bytes) -> bool:
    code, handle = driver.init_code(library, model)
    if code:
        assert code == driver.MODEL_INVALID
        return False
    library.rknn_destroy(handle)
    with Context(library, model) as context:
        np.testing.assert_array_equal(context(X)[0], np.maximum(X, 0))
    return True


def test_our_reader_reads_a_stand_in(rknn: Path, bundle: Path) -> None:
    assert read_metadata(rknn).custom_string == custom_string(bundle)


def test_a_companion_is_found_beside_the_file_whatever_its_name(library: ctypes.CDLL, rknn: Path, bundle: Path) -> None:
    assert not works(library, rknn)
    shutil.copy(bundle, rknn.with_name("anything.rknnctx"))
    assert works(library, rknn)


def test_another_bundle_under_the_models_name_is_not_taken(library: ctypes.CDLL, rknn: Path, tmp_path: Path) -> None:
    other = bundles.bundle(rknn.with_suffix(".rknnctx"), bundles.quantized_identity(), "int8")
    assert not works(library, rknn)
    other.write_bytes(b"no bundle at all")
    assert not works(library, rknn)


def test_folders_and_the_cache_are_searched_for_files_and_for_memory(
    library: ctypes.CDLL, rknn: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RKNN_EP_COMPANIONS", f"/nowhere::{bundle.parent}")
    assert works(library, rknn) and works(library, rknn.read_bytes())
    monkeypatch.delenv("RKNN_EP_COMPANIONS")
    assert not works(library, rknn.read_bytes())
    cache = tmp_path / "cache"
    (cache / "bundles").mkdir(parents=True)
    shutil.copy(bundle, cache / "bundles" / "key-rknn_0.rknnctx")
    monkeypatch.setenv("RKNN_EP_CACHE_DIR", str(cache))
    assert works(library, rknn)


def test_without_a_companion_the_error_says_how_to_make_one(
    library: ctypes.CDLL, rknn: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert not works(library, rknn)
    err = capfd.readouterr().err
    assert "rknn-ep compile" in err and "RKNN_EP_COMPANIONS" in err
    plain = rknn.read_bytes().replace(b"rknn_ep:1", b"somebody:")
    assert not works(library, plain)
    assert "its custom string names none" in capfd.readouterr().err


def test_damaged_vendor_files_are_refused_never_followed(library: ctypes.CDLL, rknn: Path, bundle: Path) -> None:
    shutil.copy(bundle, rknn.with_name("anything.rknnctx"))
    content = bytearray(rknn.read_bytes())
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[int(random.integers(64, len(damaged)))] = int(random.choice([0, 1, 127, 128, 255]))
        cut = bytes(damaged[: int(random.integers(4, len(damaged) + 1))])
        code, handle = driver.init_code(library, cut)
        assert code in (0, driver.MODEL_INVALID)
        refused += code != 0
        if not code:
            library.rknn_destroy(handle)
    assert refused == 300  # from memory there is no folder to look in
    assert not works(library, b"RKNX" + bytes(100))


def test_simulator_env_lets_a_plain_program_run(bundle: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from rknn_ep.cli.main import main; main()", "simulator-env"]
    said = subprocess.run(
        [*command, "--target", "rk3588", "--companions", str(tmp_path), "--exact"], capture_output=True, text=True, check=True
    ).stdout
    shown = subprocess.run(
        ["/bin/sh", "-c", f'{said}\necho "$RKNN_EP_SIMULATED_SOC $RKNN_EP_SIMULATION"; ls "${{LD_LIBRARY_PATH%%:*}}"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.split()[:2] == ["rk3588", "exact"] and "librknnrt.so" in shown
    as_json = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    assert as_json == environment()
    stand_in = [*command, "--stand-in", str(bundle)]
    subprocess.run(stand_in, capture_output=True, check=True)
    assert bundle.with_suffix(".rknn").read_bytes().startswith(b"RKNN")
    done = subprocess.run([*command, "--target", "rk3599"], check=False, capture_output=True, text=True)
    assert done.returncode == 2 and "rk3588" in done.stderr


@pytest.mark.toolkit2
def test_a_file_of_the_vendors_compiler_finds_the_bundle_it_was_made_with(
    library: ctypes.CDLL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rknn_ep
    from rknn_ep.artifact.epcontext import read_epcontext
    from rknn_ep_toolkit2.environment import current
    from rknn_ep_toolkit2.errors import ToolkitError
    from tests.required import missing
    from tests.toolkit2.networks import conv_net, samples

    try:
        current()
    except ToolkitError as error:
        missing("toolkit2", str(error))
    (tmp_path / "model.onnx").write_bytes(conv_net().model("mul8_out"))
    np.save(tmp_path / "calibration.npy", samples((1, 16, 32, 32)))
    options = {"target": "rk3588", "calibration": tmp_path / "calibration.npy", "min_partition_macs": 0, "embed_mode": 0}
    rknn_ep.compile(tmp_path / "model.onnx", tmp_path / "model_ctx.onnx", **options)
    vendor = read_epcontext(tmp_path / "model_ctx.onnx").own[0].open_bundle().read("rk3588.rknn")
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "model.rknn").write_bytes(vendor)
    monkeypatch.setenv("RKNN_EP_COMPANIONS", str(tmp_path))
    x = samples((1, 16, 32, 32), 1, seed=9)[0]
    results = []
    for model in (next(tmp_path.glob("*.rknnctx")), tmp_path / "board" / "model.rknn", vendor):
        with Context(library, model) as context:
            results.append(context(np.asarray(x, np.float32).reshape(1, 16, 32, 32))[0])
    np.testing.assert_array_equal(results[1], results[0])
    np.testing.assert_array_equal(results[2], results[0])
