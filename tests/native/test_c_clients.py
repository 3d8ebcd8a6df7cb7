"""C programs in the manner of the public demos: init, query, inputs_set, run, outputs_get, outputs_release, destroy, create_mem,
set_io_mem, destroy_mem. They include rknn_api.h, which on a user's machine is Rockchip's and here our own declarations, link with
-lrknnrt, and find the simulator through `rknn-ep simulator-env`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from rknn_ep_simulator.environment import environment
from tests.required import compiler
from tests.simulator import bundles, driver
from tests.simulator.driver import Context

HERE = Path(__file__).parent
CHANNELS, SIZE = 3, 37


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    weights = np.random.default_rng(1).integers(-127, 128, (6, CHANNELS, 3, 3), dtype=np.int8)
    proto = bundles.quantized_conv(weights, np.arange(6, dtype=np.int32) * 100, 1.0, 0, np.full(6, 0.001), 0.4, 100, SIZE)
    return bundles.bundle(tmp_path_factory.mktemp("conv") / "conv.rknnctx", proto, "int8")


@pytest.fixture(scope="module", params=["c99", "c++17"])
def clients(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    cc = compiler("cc" if request.param == "c99" else "")
    folder = tmp_path_factory.mktemp(request.param)
    libraries = Path(environment()["LD_LIBRARY_PATH"].split(os.pathsep)[0])
    flags = ["-std=gnu99"] if request.param == "c99" else ["-std=gnu++17", "-fpermissive", "-w", "-x", "c++"]
    for name in ("copying_client", "zero_copy_client"):
        command = [cc, *flags, "-O1", "-Wall", "-I", str(HERE.parents[1] / "native/abi"), str(HERE / f"{name}.c")]
        command += ["-x", "none", "-L", str(libraries), "-lrknnrt", "-Wl,--no-as-needed", "-o", str(folder / name)]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def test_both_flows_give_the_same_numbers_as_python(clients: Path, bundle: Path, tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, CHANNELS), dtype=np.uint8)
    (tmp_path / "picture").write_bytes(picture.tobytes())
    results = {}
    for name in ("copying_client", "zero_copy_client"):
        command = [str(clients / name), str(bundle), "picture", "result", "3"]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **environment()}, timeout=120
        )
        assert done.returncode == 0, done.stderr
        results[name] = np.fromfile(tmp_path / "result", np.float32)
        if name == "copying_client":
            assert done.stdout.startswith("2.4.1 (rknn_ep simulator")
    with Context(driver.load(), bundle) as context:
        context.set_inputs([picture], fmt=driver.NHWC)
        context.run()
        wanted = context.get_outputs()[0]
    np.testing.assert_array_equal(results["copying_client"].reshape(wanted.shape), wanted)
    n, c, h, w = wanted.shape
    np.testing.assert_array_equal(results["zero_copy_client"].reshape(n, h, w, c).transpose(0, 3, 1, 2), wanted)


def test_a_client_leaves_with_the_documented_code_where_the_model_is_damaged(clients: Path, bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "damaged").write_bytes(bundle.read_bytes()[:-100])
    for name in ("copying_client", "zero_copy_client"):
        command = [str(clients / name), "damaged", "picture", "result", "1"]
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **environment()}, timeout=120
        )
        assert done.returncode == 1
        assert "returned -6" in done.stderr and "E rknn_ep simulator: rknn_init" in done.stderr
