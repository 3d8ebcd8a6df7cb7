"""Exported libraries in a C++ program: the native carrier needs no Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rknn_ep.api import native_library
from rknn_ep_simulator.environment import environment
from rknn_ep_tvm.targets import make_target
from tests.required import compiler
from tests.tvm.harness import SECONDS, SHAPE, TARGET, compiled, imported, network, random, run, samples

SOURCE = Path(__file__).with_name("program.cc")


def done(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=SECONDS, stdin=subprocess.DEVNULL, env=variables or None
    )


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compiled against the headers and the library of apache-tvm-ffi."""
    from tvm_ffi import libinfo

    path = tmp_path_factory.mktemp("program") / "program"
    library = Path(libinfo.find_libtvm_ffi())
    headers = ["-isystem", libinfo.find_include_path(), "-isystem", libinfo.find_dlpack_include_path()]
    link = ["-L", str(library.parent), "-ltvm_ffi", f"-Wl,-rpath,{library.parent}", "-ldl", "-o", str(path)]
    built = done(compiler(), "-std=c++17", "-Wall", "-Wextra", "-Werror", *headers, str(SOURCE), *link, **os.environ)
    assert built.returncode == 0, built.stderr
    return path


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return imported(network(), calibration=samples(tmp_path_factory.mktemp("samples"))).mod


def executed(program: Path, library: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """The program on a library, with no environment but these variables: x beside the library goes in, y comes out."""
    from tvm import libinfo

    random().tofile(library.with_name("x"))
    files = [str(library.with_name(name)) for name in ("x", "y", library.name)]
    libraries = [libinfo.find_libtvm_runtime(), str(native_library("TVM"))]
    return done(str(program), *files, *libraries, "--", *map(str, SHAPE), PATH="", **variables)


def test_partition_and_remainder_run_without_python(program: Path, module: Any, tmp_path: Path) -> None:
    executable = compiled(module, make_target(TARGET, carrier="native"))
    library = tmp_path / "model.so"
    executable.export_library(str(library))
    ended = executed(program, library, RKNN_EP_ONNXRUNTIME=environment()["RKNN_EP_ONNXRUNTIME"])
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "no Python\n"
    (expected,) = run(executable, random())
    np.testing.assert_array_equal(np.fromfile(tmp_path / "y", np.float32).reshape(expected.shape), expected)


def test_the_simulator_without_onnxruntime_says_what_it_needs(program: Path, module: Any, tmp_path: Path) -> None:
    library = tmp_path / "model.so"
    compiled(module, make_target(TARGET, carrier="native")).export_library(str(library))
    ended = executed(program, library)
    assert ended.returncode == 1
    assert "RKNN_EP_ONNXRUNTIME" in ended.stderr


def test_the_python_carrier_without_python_is_named(program: Path, module: Any, tmp_path: Path) -> None:
    library = tmp_path / "model.so"
    compiled(module, make_target(TARGET, carrier="python")).export_library(str(library))
    ended = executed(program, library)
    assert ended.returncode == 1
    assert "rknn_ep.run" in ended.stderr
