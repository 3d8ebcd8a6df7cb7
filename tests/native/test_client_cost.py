"""What librknn_ep.so adds to rknn_api: no allocation in a call, and flat memory over many runs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rknn_ep.api import native_library
from rknn_ep.runtime.native import onnxruntime_library
from tests.required import compiler
from tests.simulator.bundles import bundle, quantized_identity, relu

ROOT = Path(__file__).parents[2]

SLOPE = """
import sys
import numpy as np
from rknn_ep.runtime import Session

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4  # kB, in pages of 4

session = Session(sys.argv[1], device="simulator", io_mode=sys.argv[2], contexts=2)
x = [np.zeros(one.shape, one.dtype) for one in session.inputs]
binding = session.bind()

def runs(count):
    for _ in range(count // 4):
        session.run(x)
        session.run([x[0].astype(np.uint8)], layout="NCHW")
        binding.run()
        session.submit(x).result()

runs(10_000)
before = resident()
runs(100_000)
print((resident() - before) / 100_000)
"""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """benchmarks/native/client.cc, which counts the allocations of the process."""
    path = tmp_path_factory.mktemp("client") / "client"
    source = ROOT / "benchmarks/native/client.cc"
    done = subprocess.run(
        [compiler(), "-std=c++17", "-O1", "-I", str(ROOT / "native"), str(source), "-o", str(path), "-ldl"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_call_allocates_nothing_beyond_what_rknn_api_does(client: Path, tmp_path: Path, precision: str) -> None:
    model = relu((1, 3, 8, 8)) if precision == "fp16" else quantized_identity((1, 3, 8, 8))
    libraries = [str(native_library(name)) for name in ("PROVIDER", "SIMULATOR")]
    done = subprocess.run(
        [str(client), *libraries, str(bundle(tmp_path / "model.rknnctx", model, precision)), "1", "1"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "RKNN_EP_ONNXRUNTIME": onnxruntime_library()},
    )
    assert done.returncode == 0, done.stderr
    count = {key: float(value) for key, _, value in (line.partition("=") for line in done.stdout.splitlines())}
    # A fraction of an allocation a call is ONNX Runtime's own, now and then, under either.
    assert count["ours.allocations"] == pytest.approx(count["direct.allocations"], abs=0.5)
    assert count["ours_bound.allocations"] == pytest.approx(count["direct_bound.allocations"], abs=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("io_mode", ["general", "zero_copy"])
def test_memory_stays_flat_over_a_hundred_thousand_runs(tmp_path: Path, io_mode: str) -> None:
    path = bundle(tmp_path / "model.rknnctx", relu((1, 3, 8, 8)))
    done = subprocess.run(
        [sys.executable, "-c", SLOPE, str(path), io_mode], check=False, capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0.2  # kB a run; a leaked tensor would be 0.75
