"""Inputs in a type and layout of the caller's, which the device's runtime converts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rknn_ep.errors import OptionError, ShapeError
from rknn_ep.runtime.tensors import TensorInfo, as_numpy

RKNN_NUMBERS: dict[np.dtype[Any], int] = {
    np.dtype(name): number
    for number, name in enumerate(("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool"))
}
"""numpy's type -> the number of rknn_tensor_type."""
_FORMATS = {"NCHW": 0, "NHWC": 1}
_UNDEFINED = 3


@dataclass(frozen=True)
class Form:
    """One input."""

    array: np.ndarray[Any, Any]
    """Contiguous."""
    type: int
    """rknn_tensor_type."""
    format: int
    """rknn_tensor_format."""
    pass_through: bool
    """The array is in the device's own type and layout, with its padding."""

    @classmethod
    def of(cls, info: TensorInfo, value: Any, layout: str, pass_through: bool) -> Form:
        """Check what a caller brought. float64 becomes float32, which every rknn_api knows.

        Args:
            info: the input.
            value: an array, or anything with `__dlpack__`.
            layout: NCHW or NHWC.
            pass_through: see the class.

        Raises:
            OptionError: another layout.
            ShapeError: another shape, or a type that rknn_api lacks.
        """
        if layout not in _FORMATS:
            raise OptionError(f"layout is NHWC or NCHW, not '{layout}'")
        array = np.ascontiguousarray(as_numpy(value, info.dtype))
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        if array.dtype not in RKNN_NUMBERS:
            raise ShapeError(f"'{info.name}' cannot be {array.dtype}: rknn_api has {', '.join(map(str, RKNN_NUMBERS))}")
        if pass_through:
            if info.device is not None and array.nbytes < info.device.nbytes:
                raise ShapeError(f"'{info.name}' takes {info.device.nbytes} bytes as they are, not {array.nbytes}")
            return cls(array, RKNN_NUMBERS[array.dtype], _UNDEFINED, True)
        expected = info.planar
        if len(expected) == 4 and layout == "NHWC":
            expected = (expected[0], *expected[2:], expected[1])
        if array.shape != expected:
            raise ShapeError(f"'{info.name}' is {list(expected)} as {layout}, not {list(array.shape)}")
        return cls(array, RKNN_NUMBERS[array.dtype], _FORMATS[layout] if len(expected) == 4 else _UNDEFINED, False)

    def at_border(self, info: TensorInfo) -> np.ndarray[Any, Any]:
        """The same for a device that takes the model's own type and layout alone.

        Raises:
            ShapeError: pass_through, which has no meaning there.
        """
        if self.pass_through:
            raise ShapeError(f"'{info.name}': this device takes nothing as it is")
        turned = (self.format == _FORMATS["NHWC"]) != info.picture
        order = (0, 2, 3, 1) if info.picture else (0, 3, 1, 2)
        array = self.array.transpose(order) if turned and self.array.ndim == 4 else self.array
        return np.ascontiguousarray(array, info.dtype)
