"""The matrix multiplication API through ctypes, and its layouts in numpy."""

from __future__ import annotations

import ctypes as c
from typing import Any

import numpy as np

from tests.simulator.driver import Context, RknnError, TensorMem

Array = np.ndarray[Any, Any]
NORM, NATIVE, TRANSPOSED = range(3)
FLOAT16_FLOAT32, INT8_INT32, INT8_INT8, FLOAT16_FLOAT16 = 1, 2, 3, 4
FLOAT16_INT8_FLOAT32, FLOAT16_INT4_FLOAT16, INT8_FLOAT32, INT4_INT16, INT8_INT4_INT32 = 5, 8, 9, 10, 11


class TensorAttr(c.Structure):
    _fields_ = [
        ("name", c.c_char * 256),
        ("n_dims", c.c_uint32),
        ("dims", c.c_uint32 * 16),
        ("size", c.c_uint32),
        ("type", c.c_int),
    ]

    @property
    def shape(self) -> list[int]:
        return list(self.dims[: self.n_dims])


class IoAttr(c.Structure):
    _fields_ = [("A", TensorAttr), ("B", TensorAttr), ("C", TensorAttr)]


class Shape(c.Structure):
    _fields_ = [("M", c.c_int32), ("K", c.c_int32), ("N", c.c_int32)]


class Info(c.Structure):
    _fields_ = [
        ("M", c.c_int32),
        ("K", c.c_int32),
        ("N", c.c_int32),
        ("type", c.c_int),
        ("B_layout", c.c_int16),
        ("B_quant_type", c.c_int16),
        ("AC_layout", c.c_int16),
        ("AC_quant_type", c.c_int16),
        ("iommu_domain_id", c.c_int32),
        ("group_size", c.c_int16),
        ("reserved", c.c_int8 * 34),
    ]


class QuantParams(c.Structure):
    _fields_ = [
        ("name", c.c_char * 256),
        ("scale", c.POINTER(c.c_float)),
        ("scale_len", c.c_int32),
        ("zp", c.POINTER(c.c_int32)),
        ("zp_len", c.c_int32),
    ]


class Matmul(Context):
    """One rknn_matmul_ctx."""

    def __init__(self, library: c.CDLL, info: Info, shapes: list[tuple[int, int, int]] | None = None) -> None:
        self.library, self.info = library, info
        context = c.c_uint64()
        if shapes is None:
            self.io = IoAttr()
            self._check("create", library.rknn_matmul_create(c.byref(context), c.byref(info), c.byref(self.io)))
        else:
            self.ios = (IoAttr * len(shapes))()
            dims = (Shape * len(shapes))(*[Shape(*shape) for shape in shapes])
            code = library.rknn_matmul_create_dynamic_shape(c.byref(context), c.byref(info), len(shapes), dims, self.ios)
            self._check("create_dynamic_shape", code)
            self.io = self.ios[0]
        self.handle = context.value
        self.memories: dict[str, c._Pointer[TensorMem]] = {}

    def call(self, function: str, *arguments: Any) -> None:
        self._check(function, getattr(self.library, function)(c.c_uint64(self.handle), *arguments))

    def destroy(self) -> None:
        self.call("rknn_matmul_destroy")
        self.handle = 0

    def bind(self, name: str, content: bytes = b"") -> None:
        attr = getattr(self.io, name)
        memory = self.memories.setdefault(name, self.memory(attr.size))
        assert len(content) in (0, attr.size), (len(content), attr.size, attr.shape)
        c.memmove(memory.contents.virt_addr, content, len(content))
        self.call("rknn_matmul_set_io_mem", memory, c.byref(attr))

    def product(self, a: bytes, b: bytes, dtype: Any) -> Array:
        """C as it lies in memory, in the dims that its attribute tells."""
        for name, content in (("A", a), ("B", b), ("C", b"")):
            self.bind(name, content)
        self.call("rknn_matmul_run")
        attr = self.io.C
        return np.frombuffer(c.string_at(self.memories["C"].contents.virt_addr, attr.size), dtype).reshape(attr.shape)

    def quantize(self, name: str, scale: list[float], zero_point: list[int]) -> None:
        params = QuantParams(name.encode(), (c.c_float * len(scale))(*scale), len(scale))
        params.zp, params.zp_len = (c.c_int32 * len(zero_point))(*zero_point), len(zero_point)
        self.call("rknn_matmul_set_quant_params", c.byref(params))


def code_of(library: c.CDLL, info: Info) -> int:
    try:
        Matmul(library, info).destroy()
    except RknnError as error:
        return error.code
    return 0


def features(matrix: Array, block: int) -> Array:
    """[rows, columns] as [columns / block, rows, block], the surplus 0."""
    rows, columns = matrix.shape
    padded = np.zeros((rows, -(-columns // block) * block), matrix.dtype)
    padded[:, :columns] = matrix
    return np.ascontiguousarray(padded.reshape(rows, -1, block).transpose(1, 0, 2))


def weights(matrix: Array, sub_n: int, sub_k: int, segment: int) -> Array:
    """[K, N] as [N / sub_n, K / sub_k, sub_n, sub_k], segment after segment of K; the surplus 0."""
    parts = []
    for begin in range(0, matrix.shape[0], segment):
        part = matrix[begin : begin + segment]
        k, n = part.shape
        padded = np.zeros((-(-k // sub_k) * sub_k, -(-n // sub_n) * sub_n), matrix.dtype)
        padded[:k, :n] = part
        tiles = padded.reshape(-1, sub_k, padded.shape[1] // sub_n, sub_n).transpose(2, 0, 3, 1)
        parts.append(np.ascontiguousarray(tiles).reshape(-1))
    return np.concatenate(parts)


def packed(values: Array) -> bytes:
    """int4 numbers, two in a byte, the first in the low half."""
    flat = values.reshape(-1).astype(np.uint8) & 15
    return (flat[0::2] | flat[1::2] << 4).tobytes()
