"""Arrays as TVM tensors, without a copy where that is safe."""

from __future__ import annotations

from typing import Any

import numpy as np

ALIGNMENT = 64
"""Bytes. TVM's compiled code uses aligned vector instructions and crashes on memory that is aligned to less."""


def as_tensor(array: np.ndarray[Any, Any]) -> Any:
    """A TVM tensor of an array: the same memory where it is contiguous, writable and aligned to 64 bytes, else a copy.

    `tvm.runtime.from_dlpack(array)` alone hands misaligned memory to compiled code, which crashes.
    """
    import tvm_ffi
    from tvm import runtime

    if array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % ALIGNMENT == 0 and array.size:
        return tvm_ffi.from_dlpack(array, require_alignment=ALIGNMENT, require_contiguous=True)
    return runtime.tensor(np.array(array, order="C"))
