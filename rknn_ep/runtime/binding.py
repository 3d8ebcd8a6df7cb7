"""Memory that device and program share: arrays over it, written and read in place."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import ml_dtypes
import numpy as np

from rknn_ep.artifact.native_text import parse_lines
from rknn_ep.errors import ExecutionError
from rknn_ep.runtime.native import library, raise_last_error

RKNN_TYPES: Mapping[str, np.dtype[Any]] = {
    "FLOAT32": np.dtype(np.float32),
    "FLOAT16": np.dtype(np.float16),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "INT16": np.dtype(np.int16),
    "UINT16": np.dtype(np.uint16),
    "INT32": np.dtype(np.int32),
    "UINT32": np.dtype(np.uint32),
    "INT64": np.dtype(np.int64),
    "BOOL": np.dtype(np.bool_),
    "BFLOAT16": np.dtype(ml_dtypes.bfloat16),
}
"""rknn_tensor_type without its prefix -> numpy's type."""


@dataclass(frozen=True)
class DeviceTensor:
    """An input or output in the device's own memory."""

    shape: tuple[int, ...]
    """In the order of `layout`, without padding."""
    dtype: np.dtype[Any]
    layout: str
    """NCHW, NHWC, NC1HWC2, or UNDEFINED where there are no four dimensions."""
    width_stride: int
    """Elements of one channel from a row to the next; 0: no padding."""
    height_stride: int
    qtype: str
    """AFFINE: a real value is (code - zero_point) * scale; else NONE."""
    scale: float
    zero_point: int
    nbytes: int
    """With padding."""

    @classmethod
    def of(cls, facts: Mapping[str, str], prefix: str) -> DeviceTensor:
        """Read what the native library says.

        Raises:
            ExecutionError: a type that numpy lacks.
        """
        kind = facts[f"{prefix}.type"]
        if kind not in RKNN_TYPES:
            raise ExecutionError(f"the device holds rknn_tensor_type {kind}, for which numpy has no type")
        return cls(
            shape=tuple(map(int, filter(None, facts[f"{prefix}.dims"].split(",")))),
            dtype=RKNN_TYPES[kind],
            layout=facts[f"{prefix}.format"],
            width_stride=int(facts[f"{prefix}.w_stride"]),
            height_stride=int(facts[f"{prefix}.h_stride"]),
            qtype=facts[f"{prefix}.qnt_type"] if RKNN_TYPES[kind].kind in "iu" else "NONE",  # runtimes say AFFINE of floats too
            scale=float(facts[f"{prefix}.scale"]),
            zero_point=int(facts[f"{prefix}.zero_point"]),
            nbytes=int(facts[f"{prefix}.bytes"]),
        )

    def strides(self) -> tuple[int, ...]:
        """In bytes: rows may be padded, and planes."""
        item = self.dtype.itemsize
        if len(self.shape) < 4 or self.layout not in ("NHWC", "NCHW", "NC1HWC2"):
            steps = [item]
            for size in self.shape[:0:-1]:
                steps.insert(0, steps[0] * size)
            return tuple(steps[: len(self.shape)])
        if self.layout == "NHWC":
            _, height, width, channels = self.shape
            row = max(width, self.width_stride) * channels * item
            return (max(height, self.height_stride) * row, row, channels * item, item)
        block = self.shape[4] if self.layout == "NC1HWC2" else 1
        channels, height, width = self.shape[1:4]
        row = max(width, self.width_stride) * block * item
        plane = max(height, self.height_stride) * row
        strides = (channels * plane, plane, row, block * item)
        return (*strides, item) if self.layout == "NC1HWC2" else strides


@dataclass(frozen=True)
class Buffer:
    """One tensor's memory."""

    tensor: DeviceTensor
    array: np.ndarray[Any, Any]
    """A view of the memory without padding; strided where rows are padded. Its memory lives as long as any view of it."""
    descriptor: int
    """Of the dma-buf, to hand to a camera or an encoder; negative where there is none."""


class Binding:
    """A context with bound memory: write `inputs`, `run()`, read `outputs`. Nothing is copied or allocated."""

    def __init__(self, handle: int) -> None:
        self._library = library()
        self._run = self._library.rknn_ep_binding_run
        self._owner = _Owner(handle)
        self._handle: int | None = handle
        facts = parse_lines(self._library.rknn_ep_binding_describe(handle).decode("utf-8", "surrogateescape"))
        self.inputs = tuple(self._buffer(facts, False, index) for index in range(int(facts["inputs"])))
        """In the model's order."""
        self.outputs = tuple(self._buffer(facts, True, index) for index in range(int(facts["outputs"])))

    def _buffer(self, facts: Mapping[str, str], is_output: bool, index: int) -> Buffer:
        address, size, descriptor = ctypes.c_void_p(), ctypes.c_uint64(), ctypes.c_int32()
        if self._library.rknn_ep_binding_memory(
            self._handle, int(is_output), index, ctypes.byref(address), ctypes.byref(size), ctypes.byref(descriptor)
        ):
            raise_last_error()
        tensor = DeviceTensor.of(facts, f"{'output' if is_output else 'input'}.{index}")
        memory = (ctypes.c_char * size.value).from_address(address.value or 0)
        # Views keep `memory`, and that keeps the device's memory.
        weakref.finalize(memory, _let_go, self._owner).atexit = False
        array = np.ndarray(tensor.shape, tensor.dtype, memory, strides=tensor.strides())  # type: ignore[arg-type]  # typeshed knows no ctypes arrays here
        return Buffer(tensor, array, descriptor.value)

    def run(self) -> None:
        """Compute what lies in the inputs' memory. Callers of one binding take turns.

        Raises:
            ExecutionError: the device failed, or the binding is closed.
        """
        owner = self._owner  # kept until the call is over, whoever closes meanwhile
        if self._handle is None:
            raise ExecutionError("the binding is closed", remedy="Bind once more: session.bind().")
        if self._run(owner.handle):
            raise_last_error()

    def close(self) -> None:
        """Refuse further runs. The memory goes when the last view of it is gone."""
        self._handle = None
        self.inputs = self.outputs = ()

    def __enter__(self) -> Binding:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _let_go(owner: _Owner) -> None:
    """Called when the last view is gone; the owner goes with the reference that this call held."""


class _Owner:
    """Gives the native binding back when nobody needs it any more."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self._close = library().rknn_ep_binding_close

    def __del__(self) -> None:
        self._close(self.handle)
