"""Conversions of type and layout (native/tensor) against memcpy of as many bytes, in turns, in the same run.

Bytes are those read plus those written, as for memcpy. The tensors are those of a 640x640 picture, of a small one that stays in
the caches of a core, and of feature maps. Every memory was used just before, ours and memcpy's, and memcpy's are where it is
fastest: some processors copy several times slower between addresses that differ by nearly whole pages.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import Row
from benchmarks.timing import interleaved
from tests.native.tensor_library import NC1HWC2, NCHW, NHWC, Library, Side, build, side

PICTURE = (1, 3, 640, 640)
SMALL = (1, 3, 160, 160)
FEATURES = (1, 64, 80, 80)
HEADS = ((1, 255, 40, 40), (1, 512, 20, 20))
PAGE = 4096
GRID = (0.0187, -14)
U8, I8 = (1 / 255, 0), (1 / 255, -128)


def cases() -> Iterator[tuple[str, Side, Side]]:
    for name, dims in (("picture 640x640", PICTURE), ("picture 160x160", SMALL)):
        stride = (dims[3] + 16, 0)
        yield f"{name}: uint8 NHWC -> the same, padded rows", side("uint8", dims, NHWC), side("uint8", dims, NHWC, stride)
        yield f"{name}: uint8 NHWC -> int8 NHWC, sign bit", side("uint8", dims, NHWC, grid=U8), side("int8", dims, NHWC, grid=I8)
        yield f"{name}: uint8 NHWC -> int8 NHWC, rescaled", side("uint8", dims, NHWC), side("int8", dims, NHWC, grid=(2.1, -14))
        yield f"{name}: uint8 NHWC -> uint8 NCHW", side("uint8", dims, NHWC), side("uint8", dims, NCHW)
        yield f"{name}: uint8 NCHW -> uint8 NHWC", side("uint8", dims, NCHW), side("uint8", dims, NHWC)
        yield f"{name}: uint8 NHWC -> int8 NCHW, sign bit", side("uint8", dims, NHWC, grid=U8), side("int8", dims, NCHW, grid=I8)
        four = (1, 4, *dims[2:])
        yield f"{name}, four channels: uint8 NHWC -> uint8 NCHW", side("uint8", four, NHWC), side("uint8", four, NCHW)
        yield f"{name}, four channels: uint8 NCHW -> uint8 NHWC", side("uint8", four, NCHW), side("uint8", four, NHWC)
    dims = FEATURES
    yield "features: int8 NC1HWC2 -> int8 NCHW", side("int8", dims, NC1HWC2, block=16), side("int8", dims, NCHW)
    yield "features: int8 NCHW -> int8 NC1HWC2", side("int8", dims, NCHW), side("int8", dims, NC1HWC2, block=16)
    yield "features: int8 NHWC -> int8 NCHW", side("int8", dims, NHWC), side("int8", dims, NCHW)
    yield "features: int8 NCHW -> int8 NHWC", side("int8", dims, NCHW), side("int8", dims, NHWC)
    yield "features: int8 NHWC -> int8 NC1HWC2", side("int8", dims, NHWC), side("int8", dims, NC1HWC2, block=16)
    yield "features: int8 NC1HWC2 -> int8 NHWC", side("int8", dims, NC1HWC2, block=16), side("int8", dims, NHWC)
    for heads in HEADS:
        name = f"{heads[1]} channels"
        yield f"{name}: int8 NC1HWC2 -> int8 NCHW", side("int8", heads, NC1HWC2, block=16), side("int8", heads, NCHW)
        yield f"{name}: int8 NHWC -> int8 NCHW", side("int8", heads, NHWC), side("int8", heads, NCHW)
    yield "features: int8 NC1HWC2 -> float32 NCHW", side("int8", dims, NC1HWC2, block=16, grid=GRID), side("float32", dims, NCHW)
    yield "features: float32 NCHW -> int8 NHWC", side("float32", dims, NCHW), side("int8", dims, NHWC, grid=GRID)
    yield "features: float32 NCHW -> float16 NC1HWC2", side("float32", dims, NCHW), side("float16", dims, NC1HWC2, block=8)


def memory(size: int, offset: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Bytes whose address is so far behind the begin of a page."""
    whole = np.zeros(size + 2 * PAGE, np.uint8)
    begin = -whole.ctypes.data % PAGE + offset
    return whole[begin : begin + size]


def run(quick: bool = False) -> Iterator[Row]:
    cxx = shutil.which(os.environ.get("CXX", "g++"))
    if cxx is None:
        raise RuntimeError("needs a C++ compiler (Debian: apt-get install g++)")
    with tempfile.TemporaryDirectory() as folder:
        library = Library(build(Path(folder), cxx))
        for name, source, target in cases():
            given = np.random.default_rng(0).integers(0, 127, library.bytes(source), dtype=np.uint8)
            if source.type == 0:
                given = np.random.default_rng(0).standard_normal(library.bytes(source) // 4).astype(np.float32).view(np.uint8)
            made = np.zeros(library.bytes(target), np.uint8)
            moved = given.nbytes + made.nbytes
            block, copy = memory(moved // 2, 0), memory(moved // 2, PAGE // 2)
            plain = side("uint8", (1, 1, 1, moved // 2))
            repeat = 20

            def ours(source: Side = source, target: Side = target) -> None:
                library.convert(source, target, given, made, repeat)  # noqa: B023

            def memcpy(plain: Side = plain) -> None:
                library.convert(plain, plain, block, copy, repeat)  # noqa: B023

            seconds = interleaved({"ours": ours, "memcpy": memcpy}, rounds=10 if quick else 60)
            speed = {key: moved * repeat / value / 1e9 for key, value in seconds.items()}
            eight = name.split(": ")[1].count("int8") == 2
            goal = "at least 0.5" if eight else ""
            yield Row("conversion", name, "read and written", speed["ours"], "GB/s", "memcpy", speed["memcpy"], goal)
