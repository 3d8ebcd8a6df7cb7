"""native/tensor as a library for ctypes: built from its sources, for tests and the benchmark."""

from __future__ import annotations

import ctypes as c
import platform
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
NCHW, NHWC, NC1HWC2, FLAT = range(4)
TYPES = {"float32": 0, "float16": 1, "int8": 2, "uint8": 3, "int16": 4, "uint16": 5, "int32": 6, "uint32": 7, "int64": 8}
SOURCES = ("convert", "dispatch", "kernels_scalar", "kernels_vector", "layout", "line", "wide")


class Side(c.Structure):
    _fields_ = [
        ("type", c.c_int32),
        ("format", c.c_int32),
        ("dims", c.c_uint32 * 4),
        ("w_stride", c.c_uint32),
        ("h_stride", c.c_uint32),
        ("block", c.c_uint32),
        ("codes", c.c_int32),
        ("scale", c.c_float),
        ("zero_point", c.c_int32),
    ]


def side(
    dtype: str,
    dims: tuple[int, int, int, int],
    layout: int = NCHW,
    stride: tuple[int, int] = (0, 0),
    block: int = 0,
    grid: tuple[float, int] | None = None,
) -> Side:
    """One memory: NCHW dims, strides (row, plane), the block of NC1HWC2, (scale, zero point) of codes."""
    scale, zero_point = grid or (1.0, 0)
    return Side(TYPES[dtype], layout, (c.c_uint32 * 4)(*dims), *stride, block, grid is not None, scale, zero_point)


def commands(cxx: str, folder: Path, flags: tuple[str, ...] = (), machine: str = platform.machine()) -> list[list[str]]:
    """What builds `folder`/libtensor.so."""
    base = [cxx, "-std=c++17", "-O3", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fPIC", "-fvisibility=hidden", *flags]
    base += ["-I", str(ROOT / "native")]
    sources = [(ROOT / "native/tensor" / f"{name}.cc", ()) for name in SOURCES]
    if machine == "x86_64":
        sources.append((ROOT / "native/tensor/kernels_avx2.cc", ("-mavx2", "-mf16c")))
    made = [[*base, *extra, "-c", str(path), "-o", str(folder / f"{path.stem}.o")] for path, extra in sources]
    objects = [str(folder / f"{path.stem}.o") for path, _ in sources]
    shim = str(ROOT / "tests/native/tensor_shim.cc")
    return [*made, [*base, "-shared", *objects, shim, "-o", str(folder / "libtensor.so")]]


def build(folder: Path, cxx: str, flags: tuple[str, ...] = ()) -> Path:
    for command in commands(cxx, folder, flags):
        subprocess.run(command, check=True)
    return folder / "libtensor.so"


class Library:
    """Converts between numpy buffers."""

    def __init__(self, path: Path) -> None:
        self._library = c.CDLL(str(path))
        self._library.shim_bytes.restype = c.c_uint64

    @property
    def kernels(self) -> int:
        """0 scalar, 1 the baseline's vectors, 2 AVX2."""
        return int(self._library.shim_kernels())

    def bytes(self, memory: Side) -> int:
        return int(self._library.shim_bytes(c.byref(memory)))

    def convert(
        self, source: Side, target: Side, given: np.ndarray[Any, Any], made: np.ndarray[Any, Any], repeat: int = 1
    ) -> int:
        assert given.nbytes >= self.bytes(source) and made.nbytes >= self.bytes(target)
        pointers = c.c_void_p(given.ctypes.data), c.c_void_p(made.ctypes.data)
        return int(self._library.shim_convert(c.byref(source), c.byref(target), *pointers, repeat))
