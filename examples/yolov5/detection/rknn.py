"""As much of rknn_api as the two C flows need, through ctypes; the structures are those of SDK 2.3.2 on 64-bit systems."""

from __future__ import annotations

import ctypes as c
import os
from pathlib import Path
from typing import Any

FLOAT32, FLOAT16, INT8, UINT8 = range(4)
NCHW, NHWC, NC1HWC2, UNDEFINED = range(4)
QUERY_IN_OUT_NUM, QUERY_INPUT_ATTR, QUERY_OUTPUT_ATTR = range(3)
QUERY_NATIVE_INPUT_ATTR, QUERY_NATIVE_OUTPUT_ATTR = 8, 9


class InputOutputNumber(c.Structure):
    _fields_ = [("n_input", c.c_uint32), ("n_output", c.c_uint32)]


class TensorAttr(c.Structure):
    _fields_ = [
        ("index", c.c_uint32), ("n_dims", c.c_uint32), ("dims", c.c_uint32 * 16), ("name", c.c_char * 256),
        ("n_elems", c.c_uint32), ("size", c.c_uint32), ("fmt", c.c_int), ("type", c.c_int), ("qnt_type", c.c_int),
        ("fl", c.c_int8), ("zp", c.c_int32), ("scale", c.c_float), ("w_stride", c.c_uint32),
        ("size_with_stride", c.c_uint32), ("pass_through", c.c_uint8), ("h_stride", c.c_uint32),
    ]  # fmt: skip


class Input(c.Structure):
    _fields_ = [
        ("index", c.c_uint32), ("buf", c.c_void_p), ("size", c.c_uint32),
        ("pass_through", c.c_uint8), ("type", c.c_int), ("fmt", c.c_int),
    ]  # fmt: skip


class Output(c.Structure):
    _fields_ = [
        ("want_float", c.c_uint8), ("is_prealloc", c.c_uint8), ("index", c.c_uint32),
        ("buf", c.c_void_p), ("size", c.c_uint32),
    ]  # fmt: skip


class Memory(c.Structure):
    _fields_ = [
        ("virt_addr", c.c_void_p), ("phys_addr", c.c_uint64), ("fd", c.c_int32), ("offset", c.c_int32),
        ("size", c.c_uint32), ("flags", c.c_uint32), ("priv_data", c.c_void_p),
    ]  # fmt: skip


def library() -> c.CDLL:
    """The board's librknnrt.so, elsewhere the simulator's; RKNN_EP_LIBRKNNRT names another."""
    path = os.environ.get("RKNN_EP_LIBRKNNRT")
    if path is None:
        from rknn_ep.runtime.devices import choose_device
        from rknn_ep.runtime.native import onnxruntime_library

        runtime = choose_device("auto")
        assert runtime.library is not None
        path = str(runtime.library())
        if runtime.name == "simulator":  # it computes with ONNX Runtime; `rknn-ep simulator-env` says the same to C programs
            os.environ.setdefault("RKNN_EP_ONNXRUNTIME", str(onnxruntime_library()))
    loaded = c.CDLL(path)
    for name in ("rknn_query", "rknn_inputs_set", "rknn_run", "rknn_outputs_get", "rknn_outputs_release", "rknn_set_io_mem"):
        getattr(loaded, name).restype = c.c_int
    loaded.rknn_create_mem.restype = c.POINTER(Memory)
    return loaded


class Context:
    """One model in the runtime. Any function that fails ends the program with the function's name and its code."""

    def __init__(self, model: Path) -> None:
        self.library = library()
        handle = c.c_uint64()
        self._check("rknn_init", self.library.rknn_init(c.byref(handle), str(model).encode(), 0, 0, None))
        self.handle = handle
        self.memories: list[Any] = []
        numbers = InputOutputNumber()
        self.call("rknn_query", QUERY_IN_OUT_NUM, c.byref(numbers), c.sizeof(numbers))
        self.inputs = [self.attr(QUERY_INPUT_ATTR, index) for index in range(numbers.n_input)]
        self.outputs = [self.attr(QUERY_OUTPUT_ATTR, index) for index in range(numbers.n_output)]

    def call(self, function: str, *arguments: Any) -> None:
        self._check(function, getattr(self.library, function)(self.handle, *arguments))

    def attr(self, query: int, index: int) -> TensorAttr:
        attr = TensorAttr(index=index)
        self.call("rknn_query", query, c.byref(attr), c.sizeof(attr))
        return attr

    def bind(self, attr: TensorAttr, size: int) -> Any:
        """Memory of `size` bytes that the NPU reads or writes as `attr` says."""
        size = max(size, attr.size_with_stride)
        memory = self.library.rknn_create_mem(self.handle, c.c_uint32(size))
        if not memory:
            raise SystemExit(f"rknn_create_mem has no {size} bytes")
        self.memories.append(memory)
        self.call("rknn_set_io_mem", memory, c.byref(attr))
        return (c.c_char * size).from_address(memory.contents.virt_addr)

    def close(self) -> None:
        for memory in self.memories:
            self.library.rknn_destroy_mem(self.handle, memory)
        self.library.rknn_destroy(self.handle)

    def _check(self, function: str, code: int) -> None:
        if code < 0:
            raise SystemExit(f"{function} failed with {code}")
