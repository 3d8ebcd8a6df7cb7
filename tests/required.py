"""Skips that a variable turns into failures: RKNN_EP_REQUIRE=toolkit2,tvm says what must be there, as `.ci/run` does.

NAMES holds what can be asked for. Without the variable a test whose need is not met is skipped, and says what is missing.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

VARIABLE = "RKNN_EP_REQUIRE"

NAMES = {
    "aarch64": "g++-aarch64-linux-gnu and qemu-user-static: code for boards, and running it here",
    "assets": "real models, each fetched once from a package of the index",
    "cmake": "cmake and ninja",
    "compiler": "a C and a C++ compiler with their binutils (nm, readelf)",
    "dma-heap": "/dev/dma_heap/system; virtual machines and containers mostly lack it",
    "ez-rknn": "a client of librknnrt.so that nobody here wrote; a virtual environment is made for it",
    "index": "a package index that pip reaches",
    "mount": "leave to mount a tmpfs: as root, or in a mount namespace of one's own",
    "onnx": "an onnx that knows every opset that the tests use; older ones that we support do not",
    "onnxruntime": "an ONNX Runtime that tells which node runs where and has what plugin providers got up to 1.25; "
    "older ones that we support do not",
    "pictures": "photographs of scikit-image (pip install '.[test]')",
    "pythons": "Python versions beside the running one, or the running one among those that the toolkit has wheels for",
    "rknncli": "a reader of .rknn files that nobody here wrote; a virtual environment is made for it",
    "sanitizers": "the compiler's address sanitizer",
    "tensorflow": "pip install 'rknn-ep[tensorflow]'",
    "tflite": "pip install tflite: what TVM's frontend reads such files with",
    "toolkit2": "the vendor's toolkit (rknn-ep toolkit install)",
    "torch": "pip install 'rknn-ep[pytorch]'",
    "tvm": "pip install 'rknn-ep[tvm]'",
}
"""What RKNN_EP_REQUIRE may name, and what it stands for."""


def demanded() -> frozenset[str]:
    """What RKNN_EP_REQUIRE names.

    Raises:
        UsageError: a name that no test asks for, so that nothing would be demanded by it.
    """
    names = frozenset(name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip())
    if unknown := sorted(names - NAMES.keys()):
        raise pytest.UsageError(f"{VARIABLE} names {', '.join(unknown)}; there are: {', '.join(NAMES)}")
    return names


def missing(what: str, why: str) -> NoReturn:
    """`what`, one of NAMES, is not here: skip the test or module, or fail it where RKNN_EP_REQUIRE names `what`."""
    assert what in NAMES, what
    if what in demanded():
        pytest.fail(f"{VARIABLE} asks for {what}: {why}")
    pytest.skip(f"{what} is not here: {why}", allow_module_level=True)


def compiler(name: str = "") -> str:
    """Path of a compiler or a tool of its binutils; without a name, of the C++ compiler."""
    wanted = name or os.environ.get("CXX", "g++")
    found = shutil.which(wanted)
    if found is None:
        missing("compiler", f"needs {wanted} (Debian: apt-get install g++)")
    return found
