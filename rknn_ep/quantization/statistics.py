"""Statistics over the values of one tensor: native loops that read it once, without the interpreter's lock.

numpy needs a pass over memory for each step, and gives the lock from thread to thread between small pieces: beside another
thread it took three times as long.
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np

from rknn_ep.native import load

Array = np.ndarray[Any, Any]


def extremes(values: Array) -> tuple[float, float]:
    """The smallest and the largest of float32 `values`, contiguous, any shape, not empty; both NaN where a value is NaN."""
    ends = np.empty(2, np.float32)
    _library().rknn_ep_extremes(values.ctypes.data, values.size, ends.ctypes.data)
    return float(ends[0]), float(ends[1])


def row_sums(values: Array, rows: int) -> Array:
    """Float64 [rows]: sums of float32 `values`, contiguous, of which each row has equally many.

    Stretches of 128 values are added in float32, so that the error is a few units in its last place.
    """
    sums = np.empty(rows)
    _library().rknn_ep_row_sums(values.ctypes.data, rows, values.size // max(rows, 1), sums.ctypes.data)
    return sums


def count_bins(values: Array, scale: float, shift: float, counts: Array) -> int:
    """Add each of `values` to the bin trunc(value * scale + shift), which must not be negative.

    Args:
        values: finite float32, contiguous, any shape.
        scale: bins per unit; like `shift` a float32 number, and rounded to one after each operation.
        shift: the bin of zero.
        counts: int64 [bins], added to; what rounding takes past the last bin is put there.

    Returns:
        How many values were exactly zero; they are counted in their bin as well.
    """
    zeros: int = _library().rknn_ep_count_bins(values.ctypes.data, values.size, scale, shift, counts.ctypes.data, counts.size)
    return zeros


@cache
def _library() -> ctypes.CDLL:
    """librknn_ep.so with the declarations of native/calibration/statistics.h.

    Raises:
        NotInstalledError: the native libraries are not installed.
    """
    address, number, real = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_float
    return load(
        "PROVIDER",
        {
            "rknn_ep_extremes": (None, address, number, address),
            "rknn_ep_row_sums": (None, address, number, number, address),
            "rknn_ep_count_bins": (number, address, number, real, real, address, ctypes.c_uint32),
        },
    )
