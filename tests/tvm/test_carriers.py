"""Both carriers: in the process, in an exported library, in a new process, and what they say when something is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rknn_ep_tvm
from rknn_ep_tvm.targets import make_target
from tests.tvm.harness import TARGET, compiled, imported, network, random, run, samples

CARRIERS = ["python", "native"]

LOAD = """
import sys
import numpy as np
import tvm
from tvm.runtime.vm import VirtualMachine
machine = VirtualMachine(tvm.runtime.load_module(sys.argv[1]), tvm.cpu())
x = tvm.runtime.tensor(np.load(sys.argv[2]))
np.save(sys.argv[3], machine["main"](x).numpy())
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One int8 partition and a remainder."""
    return imported(network(), calibration=samples(tmp_path_factory.mktemp("samples"))).mod


@pytest.fixture(scope="module")
def expected(module: Any) -> np.ndarray[Any, Any]:
    return run(compiled(module), random())[0]


def executable(module: Any, carrier: str, **options: Any) -> Any:
    return compiled(module, make_target(TARGET, carrier=carrier, **options))


def in_new_process(library: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    np.save(library.with_name("x.npy"), random())
    command = [sys.executable, "-c", LOAD, str(library), str(library.with_name("x.npy")), str(library.with_name("y.npy"))]
    return subprocess.run(command, check=False, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("carrier", CARRIERS)
def test_same_outputs_with_each_carrier(module: Any, expected: np.ndarray[Any, Any], carrier: str) -> None:
    np.testing.assert_array_equal(run(executable(module, carrier), random())[0], expected)


@pytest.mark.parametrize("mode", ["compiler", "runtime only"])
@pytest.mark.parametrize("suffix", [".so", ".tar"])
@pytest.mark.parametrize("carrier", CARRIERS)
def test_exported_library_runs_in_a_new_process(
    module: Any, expected: np.ndarray[Any, Any], tmp_path: Path, carrier: str, suffix: str, mode: str
) -> None:
    library = tmp_path / f"exported{suffix}"
    executable(module, carrier).export_library(str(library))
    done = in_new_process(library, TVM_USE_RUNTIME_LIB="1" if mode == "runtime only" else "0")
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)
