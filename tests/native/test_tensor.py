"""native/tensor, the conversions that client and simulator share, against numpy: every type, layout, stride and code."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.native.tensor_library import FLAT, NC1HWC2, NCHW, NHWC, ROOT, TYPES, Library, Side, build, commands, side
from tests.required import compiler, missing

Array = np.ndarray[Any, Any]
Dims = tuple[int, int, int, int]
Grid = tuple[float, int] | None
LAYOUTS = st.sampled_from([NCHW, NHWC, NC1HWC2])
GUARD = 0xA5


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    path = os.environ.get("RKNN_EP_TEST_TENSOR")  # set by the test that runs this file with other kernels
    if path:
        return Library(Path(path))
    return Library(build(tmp_path_factory.mktemp("tensor"), compiler()))


def placed(memory: Side, values: Array, buffer: Array) -> None:
    """Write an NCHW array into a memory as its layout says, element by element where numpy has no view for it."""
    _, c, h, w = values.shape
    if memory.format == FLAT:
        buffer[: values.size] = values.reshape(-1)
        return
    view = strided(memory, buffer)
    if memory.format == NC1HWC2:
        for channel in range(c):
            view[:, channel // memory.block, :h, :w, channel % memory.block] = values[:, channel]
    elif memory.format == NHWC:
        view[:, :h, :w, :] = values.transpose(0, 2, 3, 1)
    else:
        view[:, :, :h, :w] = values


def strided(memory: Side, buffer: Array) -> Array:
    n, c, h, w = memory.dims
    h, w = max(h, memory.h_stride), max(w, memory.w_stride)
    if memory.format == NC1HWC2:
        return buffer.reshape(n, -(-c // memory.block), h, w, memory.block)
    return buffer.reshape((n, h, w, c) if memory.format == NHWC else (n, c, h, w))


def expected_values(values: Array, source: Grid, dtype: str, target: Grid) -> Array:
    """ONNX's DequantizeLinear, then QuantizeLinear; plain numbers saturate."""
    real = values.astype(np.float64)
    if source is not None:
        real = ((values.astype(np.int64) - source[1]).astype(np.float32) * np.float32(source[0])).astype(np.float64)
    if not dtype.startswith(("int", "uint")):
        with np.errstate(over="ignore"):
            return real.astype(np.float32).astype(dtype)
    if target is not None:
        real = np.rint(real.astype(np.float32) / np.float32(target[0])).astype(np.float64) + target[1]
    limits = np.iinfo(dtype)
    rounded = np.rint(real)
    low, high = rounded <= limits.min, rounded >= limits.max
    inside = np.where(low | high | np.isnan(rounded), 0, rounded).astype(dtype)
    return np.where(high, limits.max, np.where(low | np.isnan(rounded), limits.min, inside)).astype(dtype)


@st.composite
def memories(draw: st.DrawFn, dims: Dims) -> tuple[str, Side, Grid]:
    dtype = draw(st.sampled_from(sorted(TYPES)))
    grid: Grid = None
    if dtype in ("int8", "uint8", "int16", "uint16") and draw(st.booleans()):
        limits = np.iinfo(dtype)
        scale = draw(st.sampled_from([1.0, 0.5, 0.0117, 1 / 255, 3.25]))
        grid = scale, draw(st.sampled_from([0, int(limits.min), int(limits.max), (int(limits.min) + int(limits.max)) // 2]))
    stride = draw(st.sampled_from([(0, 0), (dims[3] + 3, 0), (dims[3] + 1, dims[2] + 2), (0, dims[2] + 1)]))
    block = draw(st.sampled_from([1, 4, 8, 16, 32]))
    return dtype, side(dtype, dims, draw(LAYOUTS), stride, block, grid), grid


@st.composite
def cases(draw: st.DrawFn) -> tuple[Dims, tuple[str, Side, Grid], tuple[str, Side, Grid], int]:
    channels = draw(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 33, 64, 85, 128, 255, 320, 520]))
    dims = (
        draw(st.sampled_from([1, 2])),
        channels,
        draw(st.integers(1, 5)),
        draw(st.sampled_from([1, 2, 7, 16, 17, 33, 65, 300])),
    )
    return dims, draw(memories(dims)), draw(memories(dims)), draw(st.integers(0, 2**32 - 1))


@settings(max_examples=400, deadline=None)
@given(cases())
def test_any_memory_becomes_any_other(
    library: Library, case: tuple[Dims, tuple[str, Side, Grid], tuple[str, Side, Grid], int]
) -> None:
    dims, (dtype, source, grid), (made_dtype, target, made_grid), seed = case
    random = np.random.default_rng(seed)
    if dtype.startswith("float"):
        values = (random.standard_normal(dims) * random.choice([1e-3, 1, 300, 1e6])).astype(np.float32)
        with np.errstate(over="ignore"):
            values = values.astype(dtype)
        values.reshape(-1)[0] = random.choice([np.nan, np.inf, -np.inf, 0.5, 1.5, -2.5])
    else:
        limits = np.iinfo(dtype)
        near = random.integers(max(int(limits.min), -300), min(int(limits.max), 300), dims, dtype=dtype, endpoint=True)
        values = near if seed % 2 else random.integers(max(int(limits.min), -(2**52)), min(int(limits.max), 2**52), dims, dtype)
    # One element more than the memory, off every alignment, with guards around what may be written.
    given_bytes = np.full(library.bytes(source) + 1, GUARD, np.uint8)[1:]
    placed(source, values, given_bytes.view(dtype))
    padded = np.full(library.bytes(target) + 33, GUARD, np.uint8)
    made_bytes = padded[1:-32]
    assert library.convert(source, target, given_bytes, made_bytes) == 0
    assert padded[0] == GUARD and (padded[-32:] == GUARD).all(), "written beyond the memory"

    result = np.full_like(made_bytes, GUARD)
    same = dtype == made_dtype and grid == made_grid
    wanted = values if same else expected_values(values, grid, made_dtype, made_grid)
    placed(target, wanted, result.view(made_dtype))
    if target.format == NC1HWC2:  # the channels that fill up the last block are zero, rows' padding is nobody's
        used = dims[1] - (-(-dims[1] // target.block) - 1) * target.block
        strided(target, result.view(made_dtype))[:, -1, : dims[2], : dims[3], used:] = 0
    np.testing.assert_array_equal(*written(target, made_bytes, result, made_dtype))


def written(memory: Side, made: Array, wanted: Array, dtype: str) -> tuple[Array, Array]:
    """Both memories without the padding of rows and planes: nobody reads it."""
    _, _, h, w = memory.dims
    views = []
    for buffer in (made, wanted):
        view = strided(memory, buffer.copy().view(dtype))
        views.append(view[:, :h, :w] if memory.format == NHWC else view[:, :, :h, :w])
    return views[0], views[1]


def test_padding_of_rows_is_left_alone(library: Library) -> None:
    dims = (1, 3, 4, 5)
    source, target = side("uint8", dims, NHWC), side("uint8", dims, NHWC, stride=(16, 0))
    made = np.full(library.bytes(target), GUARD, np.uint8)
    assert library.convert(source, target, np.zeros(60, np.uint8), made) == 0
    rows = made.reshape(4, 16, 3)
    assert (rows[:, :5] == 0).all() and (rows[:, 5:] == GUARD).all()


def test_what_is_not_a_conversion_is_refused(library: Library) -> None:
    buffer = np.zeros(1000, np.uint8)
    good = side("uint8", (1, 3, 4, 5))
    for bad in (
        side("uint8", (1, 3, 5, 4)),
        side("int8", (1, 3, 4, 5), grid=(0.0, 0)),
        side("int8", (1, 3, 4, 5), grid=(float("nan"), 0)),
        side("int8", (1, 3, 4, 5), grid=(1.0, 2**31 - 1)),
    ):
        assert library.convert(good, bad, buffer, buffer) == -1
    good.type = 10  # INT4 has no whole bytes
    assert library.convert(good, good, buffer, buffer) == -1


def test_every_float16_survives_and_rounds_as_numpy_does(library: Library) -> None:
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    dims = (1, 1, 1, 2**16)
    floats = np.empty(2**16, np.float32)
    assert library.convert(side("float16", dims), side("float32", dims), halves.view(np.uint8), floats.view(np.uint8)) == 0
    np.testing.assert_array_equal(floats, halves.astype(np.float32))
    between = np.float32(np.random.default_rng(0).standard_normal(2**16) * 10.0 ** np.random.default_rng(1).uniform(-9, 6, 2**16))
    rounded = np.empty(2**16, np.float16)
    assert library.convert(side("float32", dims), side("float16", dims), between.view(np.uint8), rounded.view(np.uint8)) == 0
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(rounded, between.astype(np.float16))


@pytest.mark.parametrize(("simd", "kernels"), [("scalar", 0), ("baseline", 1)])
def test_other_kernels_agree_with_numpy_too(library: Library, tmp_path: Path, simd: str, kernels: int) -> None:
    environment = {**os.environ, "RKNN_EP_SIMD": simd, "RKNN_EP_TEST_TENSOR": library._library._name}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "not other_kernels", __file__]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-3000:]
    code = f"from tests.native.tensor_library import *; print(Library(Path({library._library._name!r})).kernels)"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == str(kernels)


@pytest.mark.parametrize("prefix", ["", "aarch64-linux-gnu-"])
@pytest.mark.slow
def test_vector_kernels_equal_scalar_ones_on_every_processor(tmp_path: Path, prefix: str) -> None:
    """NEON runs under an emulator."""
    cxx, emulator = shutil.which(f"{prefix}g++") if prefix else compiler(), shutil.which("qemu-aarch64-static")
    if cxx is None or (prefix and emulator is None):
        missing("aarch64", "needs g++-aarch64-linux-gnu and qemu-user-static (Debian: apt-get install)")
    machine = "aarch64" if prefix else platform.machine()
    for command in commands(cxx, tmp_path, machine=machine)[:-1]:
        subprocess.run(command, check=True)
    objects = [str(path) for path in tmp_path.glob("*.o")]
    program = str(tmp_path / "compare")
    source = str(Path(__file__).parent / "tensor_compare.cc")
    subprocess.run([cxx, "-std=c++17", "-O1", "-static", "-I", str(ROOT / "native"), source, *objects, "-o", program], check=True)
    done = subprocess.run([emulator, program] if prefix else [program], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
