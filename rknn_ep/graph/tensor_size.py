"""How much a TensorProto should hold, and how much it does."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
import onnx_ir as ir

_FIELDS = {
    "float_data": ("FLOAT", "COMPLEX64"),
    "double_data": ("DOUBLE", "COMPLEX128"),
    "int64_data": ("INT64",),
    "uint64_data": ("UINT32", "UINT64"),
    "string_data": ("STRING",),
}
_FIELD = {name: field for field, names in _FIELDS.items() for name in names}


@dataclass(frozen=True)
class StoredSize:
    """A tensor's size as its shape has it, and what is there of it."""

    bytes: int
    wanted: int
    found: int
    unit: str
    """What `wanted` and `found` count: "bytes" or "values"."""


def stored_bytes(tensor: onnx.TensorProto) -> StoredSize:
    """Compare a tensor's dimensions with its data.

    Raises:
        ValueError: an unknown element type or a negative dimension.
    """
    try:
        dtype = ir.DataType(tensor.data_type)
    except ValueError:
        raise ValueError(f"element type {tensor.data_type} does not exist") from None
    if dtype == ir.DataType.UNDEFINED:
        raise ValueError("it has no element type")
    elements = 1
    for dim in tensor.dims:
        if dim < 0:
            raise ValueError(f"dimension {dim} is negative")
        elements *= dim
    if dtype == ir.DataType.STRING:
        return StoredSize(sum(map(len, tensor.string_data)), elements, len(tensor.string_data), "values")
    size = -(-elements * dtype.bitwidth // 8)
    if tensor.HasField("raw_data"):
        return StoredSize(size, size, len(tensor.raw_data), "bytes")
    found = len(getattr(tensor, _FIELD.get(dtype.name, "int32_data")))
    values = elements * 2 if dtype.name.startswith("COMPLEX") else elements
    # Types below a byte are packed, several to an int32.
    return StoredSize(size, values if dtype.bitwidth >= 8 else size, found, "values")
