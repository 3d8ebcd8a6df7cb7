"""The native libraries under the address and undefined-behaviour sanitizers: their tests once more, on a build of their own.

A bad read, a use after free, an overflow or a null reference ends that run with a report, which fails the test."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from rknn_ep_tvm.version import unavailable
from tests.required import compiler, missing

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(*command: str, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, **options)


def build_sanitized(cmake: str, build: Path, prefix: Path) -> None:
    for command in (
        (cmake, "-S", "native", "-B", str(build), "-DCMAKE_BUILD_TYPE=Debug", "-DRKNN_EP_SANITIZE=ON"),
        (cmake, "--build", str(build), "--parallel", "2"),
        (cmake, "--install", str(build), "--prefix", str(prefix)),
    ):
        done = run(*command)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="session")
def sanitized(tmp_path_factory) -> dict[str, str]:
    """Environment in which Python uses a sanitized build of the native libraries, one for all workers of pytest-xdist."""
    cmake, cxx = shutil.which("cmake"), compiler()
    if cmake is None:
        missing("cmake", "python -m pip install cmake ninja")
    runtime = run(cxx, "-print-file-name=libasan.so").stdout.strip()
    if not Path(runtime).is_absolute():
        missing("sanitizers", f"{cxx} has no address sanitizer (Debian: libgcc-12-dev)")
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    build, prefix = shared / "sanitized-build", shared / "sanitized"
    with FileLock(shared / "sanitized.lock"):
        if not prefix.exists():
            build_sanitized(cmake, build, prefix)
    stdcpp = run(cxx, "-print-file-name=libstdc++.so").stdout.strip()
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(prefix), str(ROOT), str(ROOT / "plugins")]),
        "LD_PRELOAD": f"{runtime} {stdcpp}",  # the sanitizer has to see exceptions of ONNX Runtime's C++ library too
        # Python and ONNX Runtime keep memory on purpose: leaks are measured by test_lifetime instead.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1:handle_segv=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
    }


def test_the_build_is_used_and_is_sanitized(sanitized):
    done = run(sys.executable, "-c", "import rknn_ep_native; print(rknn_ep_native.PROVIDER)", env=sanitized)
    library = Path(done.stdout.strip())
    assert library.is_file(), done.stderr
    assert b"__asan_init" in library.read_bytes()


SIMULATOR = (
    "copying_flow",
    "zero_copy_flow",
    "asynchronous",
    "memory",
    "flags",
    "matmul",
    "custom_ops",
    "companions",
    "damage",
    "hostile",
    "own_kernels",
    "convolution_shapes",
    "bad_input",
)
MODULES = (
    *(f"onnxruntime/test_{name}" for name in ("session", "serializer", "epcontext", "failures", "io_mode", "memory")),
    "runtime/test_session",
    "runtime/test_dynamic_shapes",
    "compat/test_rknnlite",
    "native/test_board_library",
    "board/test_device",
    *(f"simulator/test_{name}" for name in SIMULATOR),
    "tvm/test_native_module",
)


@pytest.mark.parametrize("module", MODULES)
def test_the_libraries_are_clean(sanitized, module):
    if module.startswith("tvm/") and (why := unavailable()):
        missing("tvm", why)
    command = (sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow", "-p", "no:cacheprovider", f"tests/{module}.py")
    done = run(*command, env=sanitized, timeout=500)
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert "ERROR: AddressSanitizer" not in done.stderr
    assert "runtime error:" not in done.stderr


def test_bad_arguments_to_the_c_interface_are_refused(sanitized):
    done = run(sys.executable, str(Path(__file__).parent / "drive_executor.py"), env=sanitized, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
