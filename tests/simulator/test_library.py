"""The shared object itself: what it exports, what it is called, and how it lives beside others."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.required import compiler
from tests.simulator import bundles, driver

ROOT = Path(__file__).resolve().parents[2]

OTHER = """
int rknn_run(unsigned long long context, void* extend) { (void)context; (void)extend; return 4711; }
int rknn_init(unsigned long long* context, void* model, unsigned size, unsigned flag, void* extend) {
  (void)model; (void)size; (void)flag; (void)extend; *context = 99; return 0; }
"""

BOTH = """
import ctypes, os, sys
from pathlib import Path
from tests.simulator import driver
ours, folder, bundle, first = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
def vendor(): return ctypes.CDLL("librknnrt.so")      # by its SONAME through LD_LIBRARY_PATH, as programs link it
other = vendor() if first == "other" else None
simulator = driver.load(ours)
other = other or vendor()
context = driver.Context(simulator, bundle)
handle = ctypes.c_uint64()
assert other.rknn_init(ctypes.byref(handle), None, 0, 0, None) == 0 and handle.value == 99
assert other.rknn_run(handle, None) == 4711
assert simulator.rknn_run(context.handle, None) == driver.INPUT_INVALID
assert b"rknn_ep simulator" in context.query(driver.SDK_VERSION, driver.SdkVersion()).api_version
maps = {line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith("librknnrt.so")}
assert len(maps) == 2, maps
print("both")
"""


def test_exports_are_the_functions_of_rknn_api_and_one_private_symbol() -> None:
    out = subprocess.run(
        [compiler("nm"), "-D", "--defined-only", driver.library_path()], capture_output=True, text=True, check=True
    )
    names = {line.split()[-1] for line in out.stdout.splitlines()}
    declared: set[str] = set()
    for header in ("rknn_api.h", "rknn_matmul_api.h", "rknn_custom_op.h"):
        text = (ROOT / "native" / "abi" / header).read_text()
        declared |= set(re.findall(r"^[\w ]+\*? ?\b(rknn_\w+)\(", text, re.MULTILINE))
    assert names == declared | {"rknn_ep_simulator_configure"}
    assert len(declared) == 35


def test_the_library_has_no_soname_and_stays_loaded() -> None:
    out = subprocess.run([compiler("readelf"), "-d", driver.library_path()], capture_output=True, text=True, check=True).stdout
    assert "SONAME" not in out
    assert "NODELETE" in out


@pytest.mark.parametrize("first", ["ours", "other"])
def test_our_library_and_another_of_the_same_name_answer_for_themselves(tmp_path: Path, first: str) -> None:
    source = tmp_path / "other.c"
    source.write_text(OTHER)
    folder = tmp_path / "vendor"
    folder.mkdir()
    subprocess.run(
        [compiler("gcc"), "-shared", "-fPIC", "-Wl,-soname,librknnrt.so", "-o", folder / "librknnrt.so", source], check=True
    )
    bundle = bundles.bundle(tmp_path / "relu.rknnctx", bundles.relu())
    done = subprocess.run(
        [sys.executable, "-c", BOTH, driver.library_path(), folder, bundle, first],
        cwd=ROOT,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder), "RKNN_EP_ONNXRUNTIME": str(driver.onnxruntime_path())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "both", done.stderr


def test_the_structures_have_the_sizes_that_programs_were_built_with() -> None:
    sizes = {
        driver.InputOutputNum: 8,
        driver.TensorAttr: 376,
        driver.PerfRun: 8,
        driver.SdkVersion: 512,
        driver.MemSize: 64,
        driver.CustomString: 1024,
        driver.TensorMem: 40,
        driver.Input: 32,
        driver.Output: 24,
    }
    assert {kind: ctypes.sizeof(kind) for kind in sizes} == sizes


def test_without_onnxruntime_the_error_says_what_to_set(tmp_path: Path) -> None:
    bundle = bundles.bundle(tmp_path / "relu.rknnctx", bundles.relu())
    script = "from tests.simulator import driver; from pathlib import Path; import sys\n"
    script += "print(driver.init_code(driver.load(), Path(sys.argv[1]))[0])"
    done = subprocess.run(
        [sys.executable, "-c", script, bundle],
        cwd=ROOT,
        env={**os.environ, "RKNN_EP_ONNXRUNTIME": str(tmp_path / "absent.so")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) == driver.FAIL
    assert "RKNN_EP_ONNXRUNTIME" in done.stderr and "absent.so" in done.stderr
