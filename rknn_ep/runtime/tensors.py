"""What a session's inputs and outputs are, and arrays from whatever a caller brings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np

from rknn_ep.artifact.native_text import TensorDescription
from rknn_ep.errors import ArtifactError, ExecutionError, ShapeError
from rknn_ep.runtime.binding import DeviceTensor

DTYPES: dict[str, np.dtype[Any]] = {
    "FLOAT": np.dtype(np.float32),
    "FLOAT16": np.dtype(np.float16),
    "BFLOAT16": np.dtype(ml_dtypes.bfloat16),
    "INT8": np.dtype(np.int8),
    "UINT8": np.dtype(np.uint8),
    "INT16": np.dtype(np.int16),
    "UINT16": np.dtype(np.uint16),
    "INT32": np.dtype(np.int32),
    "UINT32": np.dtype(np.uint32),
    "INT64": np.dtype(np.int64),
    "BOOL": np.dtype(np.bool_),
}
"""ONNX name of an element type -> numpy's."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of a session."""

    name: str
    shape: tuple[int, ...]
    """As in the ONNX graph: NCHW as a rule, NHWC for pictures that go in as they are; empty for a scalar."""
    dtype: np.dtype[Any]
    """Of the arrays that `run` takes and gives."""
    qtype: str
    """What the device computes with: INT8, INT16, FLOAT16, or NONE where it takes the tensor as it is."""
    scale: float
    """A real value is (code - zero_point) * scale; 1 where qtype is no integer."""
    zero_point: int
    device: DeviceTensor | None = None
    """How the device's own memory holds it; None where the device does not say."""
    bound: Callable[[], np.ndarray[Any, Any]] | None = field(default=None, repr=False, compare=False)
    """Gives `buffer`."""
    picture: bool = False
    """A camera's picture: uint8 [N,H,W,C] goes in as it is, and the device computes with its numbers as [N,C,H,W]."""

    @property
    def planar(self) -> tuple[int, ...]:
        """The shape as the device computes with it: NCHW for pictures."""
        return (self.shape[0], self.shape[3], *self.shape[1:3]) if self.picture else self.shape

    @property
    def buffer(self) -> np.ndarray[Any, Any]:
        """The session's own memory on the device for this tensor, in the device's layout: see `Session.bind`.

        Raises:
            ExecutionError: the device has no memory to share, or the session is closed.
        """
        if self.bound is None:
            raise ExecutionError(f"'{self.name}': this device has no memory to share")
        return self.bound()

    @property
    def layout(self) -> str:
        """Of the device's memory: NCHW, NHWC, NC1HWC2 or UNDEFINED."""
        return self.device.layout if self.device is not None else "UNDEFINED"

    @property
    def nbytes(self) -> int:
        """Bytes of an array of this shape and dtype."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    @classmethod
    def of(
        cls,
        tensor: TensorDescription,
        name: str | None = None,
        device: DeviceTensor | None = None,
        bound: Callable[[], np.ndarray[Any, Any]] | None = None,
    ) -> TensorInfo:
        """Read the bundle's description; `name` where the model around it calls the tensor otherwise.

        Raises:
            ArtifactError: an element type that no rknn_api has.
        """
        if tensor.border_dtype not in DTYPES:
            raise ArtifactError(f"'{tensor.name}' has type {tensor.dtype}, which rknn_api lacks")
        return cls(
            name or tensor.name,
            tensor.border_dims,
            DTYPES[tensor.border_dtype],
            tensor.qtype,
            tensor.scale,
            tensor.zero_point,
            device,
            bound,
            bool(tensor.border),
        )

    def array(self, value: Any) -> np.ndarray[Any, Any]:
        """`value` as a contiguous array of this shape and dtype; copied only where it is not contiguous.

        Args:
            value: a numpy array, anything with `__dlpack__` on the CPU (a torch tensor), or nested lists.

        Raises:
            ShapeError: another shape or dtype, both named.
        """
        array = value if type(value) is np.ndarray else as_numpy(value, self.dtype)
        if array.shape != self.shape or (array.dtype is not self.dtype and array.dtype != self.dtype):
            raise ShapeError(
                f"'{self.name}' is {self.dtype}{list(self.shape)}, not {array.dtype}{list(array.shape)}",
                remedy=f"Feed an array of that shape; .astype(numpy.{self.dtype}) changes the type.",
            )
        return array if array.flags.c_contiguous else np.ascontiguousarray(array)

    def empty(self) -> np.ndarray[Any, Any]:
        """A new array for a result."""
        return np.empty(self.shape, self.dtype)


def as_numpy(value: Any, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """A view of `value`: an array, anything with `__dlpack__` on the CPU, or nested lists, which become `dtype`."""
    if isinstance(value, np.ndarray):
        return value
    return np.from_dlpack(value) if hasattr(value, "__dlpack__") else np.asarray(value, dtype)
