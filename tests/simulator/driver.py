"""rknn_api through ctypes, as a board program sees it, with arrays instead of pointers."""

from __future__ import annotations

import ctypes as c
import importlib.util
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

FLOAT32, FLOAT16, INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, BOOL = range(10)
NCHW, NHWC, NC1HWC2, UNDEFINED = range(4)
QNT_NONE, QNT_DFP, QNT_AFFINE = range(3)
IN_OUT_NUM, INPUT_ATTR, OUTPUT_ATTR, PERF_DETAIL, PERF_RUN, SDK_VERSION, MEM_SIZE, CUSTOM_STRING = range(8)
NATIVE_INPUT_ATTR, NATIVE_OUTPUT_ATTR, NATIVE_NHWC_INPUT_ATTR, NATIVE_NHWC_OUTPUT_ATTR = range(8, 12)
(
    DEVICE_MEM_INFO,
    INPUT_DYNAMIC_RANGE,
    CURRENT_INPUT_ATTR,
    CURRENT_OUTPUT_ATTR,
    CURRENT_NATIVE_INPUT_ATTR,
    CURRENT_NATIVE_OUTPUT_ATTR,
) = range(12, 18)
TIMEOUT, MALLOC_FAIL = -2, -4
FAIL, PARAM_INVALID, MODEL_INVALID, CTX_INVALID, INPUT_INVALID, OUTPUT_INVALID = -1, -5, -6, -7, -8, -9
TARGET_PLATFORM_UNMATCH = -13
FLAG_MODEL_BUFFER_ZERO_COPY = 65536
FLAG_ASYNC_MASK, FLAG_COLLECT_PERF, FLAG_MEM_ALLOC_OUTSIDE, FLAG_SHARE_WEIGHT_MEM = 4, 8, 16, 32
FLAG_FENCE_IN_OUTSIDE, FLAG_COLLECT_MODEL_INFO_ONLY, FLAG_INTERNAL_ALLOC_OUTSIDE = 64, 256, 512

DTYPES: dict[Any, int] = {
    np.dtype(name): code
    for name, code in {
        "float32": FLOAT32,
        "float16": FLOAT16,
        "int8": INT8,
        "uint8": UINT8,
        "int16": INT16,
        "uint16": UINT16,
        "int32": INT32,
        "uint32": UINT32,
        "int64": INT64,
        "bool": BOOL,
    }.items()
}
NUMPY = {code: dtype for dtype, code in DTYPES.items()}


class InputOutputNum(c.Structure):
    _fields_ = [("n_input", c.c_uint32), ("n_output", c.c_uint32)]


class TensorAttr(c.Structure):
    _fields_ = [
        ("index", c.c_uint32),
        ("n_dims", c.c_uint32),
        ("dims", c.c_uint32 * 16),
        ("name", c.c_char * 256),
        ("n_elems", c.c_uint32),
        ("size", c.c_uint32),
        ("fmt", c.c_int),
        ("type", c.c_int),
        ("qnt_type", c.c_int),
        ("fl", c.c_int8),
        ("zp", c.c_int32),
        ("scale", c.c_float),
        ("w_stride", c.c_uint32),
        ("size_with_stride", c.c_uint32),
        ("pass_through", c.c_uint8),
        ("h_stride", c.c_uint32),
    ]

    @property
    def shape(self) -> list[int]:
        return list(self.dims[: self.n_dims])


class PerfRun(c.Structure):
    _fields_ = [("run_duration", c.c_int64)]


class SdkVersion(c.Structure):
    _fields_ = [("api_version", c.c_char * 256), ("drv_version", c.c_char * 256)]


class MemSize(c.Structure):
    _fields_ = [
        ("total_weight_size", c.c_uint32),
        ("total_internal_size", c.c_uint32),
        ("total_dma_allocated_size", c.c_uint64),
        ("total_sram_size", c.c_uint32),
        ("free_sram_size", c.c_uint32),
        ("reserved", c.c_uint32 * 10),
    ]


class CustomString(c.Structure):
    _fields_ = [("string", c.c_char * 1024)]


class Input(c.Structure):
    _fields_ = [
        ("index", c.c_uint32),
        ("buf", c.c_void_p),
        ("size", c.c_uint32),
        ("pass_through", c.c_uint8),
        ("type", c.c_int),
        ("fmt", c.c_int),
    ]


class Output(c.Structure):
    _fields_ = [
        ("want_float", c.c_uint8),
        ("is_prealloc", c.c_uint8),
        ("index", c.c_uint32),
        ("buf", c.c_void_p),
        ("size", c.c_uint32),
    ]


class TensorMem(c.Structure):
    _fields_ = [
        ("virt_addr", c.c_void_p),
        ("phys_addr", c.c_uint64),
        ("fd", c.c_int32),
        ("offset", c.c_int32),
        ("size", c.c_uint32),
        ("flags", c.c_uint32),
        ("priv_data", c.c_void_p),
    ]


class PerfDetail(c.Structure):
    _fields_ = [("perf_data", c.c_char_p), ("data_len", c.c_uint64)]


class InputRange(c.Structure):
    _fields_ = [
        ("index", c.c_uint32),
        ("shape_number", c.c_uint32),
        ("fmt", c.c_int),
        ("name", c.c_char * 256),
        ("dyn_range", c.c_uint32 * 16 * 512),
        ("n_dims", c.c_uint32),
    ]


class InitExtend(c.Structure):
    _fields_ = [
        ("ctx", c.c_uint64),
        ("real_model_offset", c.c_int32),
        ("real_model_size", c.c_uint32),
        ("model_buffer_fd", c.c_int32),
        ("model_buffer_flags", c.c_uint32),
        ("reserved", c.c_uint8 * 112),
    ]


class RunExtend(c.Structure):
    _fields_ = [("frame_id", c.c_uint64), ("non_block", c.c_int32), ("timeout_ms", c.c_int32), ("fence_fd", c.c_int32)]


class OutputExtend(c.Structure):
    _fields_ = [("frame_id", c.c_uint64)]


class RknnError(Exception):
    def __init__(self, function: str, code: int) -> None:
        super().__init__(f"{function} returned {code}")
        self.code = code


def library_path() -> Path:
    """The installed library."""
    from rknn_ep_native import SIMULATOR

    return Path(SIMULATOR)


def onnxruntime_path() -> Path:
    """The runtime that stand-alone programs use in these tests: the one inside the onnxruntime package."""
    spec = importlib.util.find_spec("onnxruntime")
    assert spec is not None and spec.origin is not None
    return next(path for path in (Path(spec.origin).parent / "capi").glob("libonnxruntime.so*"))


def load(path: Path | None = None) -> c.CDLL:
    """The library with argument types set; computes with the onnxruntime package's own runtime."""
    os.environ.setdefault("RKNN_EP_ONNXRUNTIME", str(onnxruntime_path()))
    library = c.CDLL(str(path or library_path()), mode=os.RTLD_LOCAL)
    context = c.c_uint64
    library.rknn_init.argtypes = [c.POINTER(context), c.c_void_p, c.c_uint32, c.c_uint32, c.c_void_p]
    library.rknn_dup_context.argtypes = [c.POINTER(context), c.POINTER(context)]
    library.rknn_destroy.argtypes = [context]
    library.rknn_query.argtypes = [context, c.c_int, c.c_void_p, c.c_uint32]
    library.rknn_inputs_set.argtypes = [context, c.c_uint32, c.POINTER(Input)]
    library.rknn_set_core_mask.argtypes = [context, c.c_int]
    library.rknn_run.argtypes = [context, c.c_void_p]
    library.rknn_outputs_get.argtypes = [context, c.c_uint32, c.POINTER(Output), c.c_void_p]
    library.rknn_outputs_release.argtypes = [context, c.c_uint32, c.POINTER(Output)]
    library.rknn_create_mem.argtypes = [context, c.c_uint32]
    library.rknn_create_mem.restype = c.POINTER(TensorMem)
    library.rknn_destroy_mem.argtypes = [context, c.POINTER(TensorMem)]
    library.rknn_set_io_mem.argtypes = [context, c.POINTER(TensorMem), c.POINTER(TensorAttr)]
    library.rknn_mem_sync.argtypes = [context, c.POINTER(TensorMem), c.c_int]
    memory = c.POINTER(TensorMem)
    library.rknn_wait.argtypes = [context, c.c_void_p]
    library.rknn_set_batch_core_num.argtypes = [context, c.c_int]
    library.rknn_set_input_shapes.argtypes = [context, c.c_uint32, c.POINTER(TensorAttr)]
    library.rknn_set_input_shape.argtypes = [context, c.POINTER(TensorAttr)]
    library.rknn_set_weight_mem.argtypes = library.rknn_set_internal_mem.argtypes = [context, memory]
    library.rknn_create_mem2.argtypes = [context, c.c_uint64, c.c_uint64]
    library.rknn_create_mem_from_fd.argtypes = [context, c.c_int32, c.c_void_p, c.c_uint32, c.c_int32]
    library.rknn_create_mem_from_phys.argtypes = [context, c.c_uint64, c.c_void_p, c.c_uint32]
    library.rknn_create_mem_from_mb_blk.argtypes = [context, c.c_void_p, c.c_int32]
    for name in ("mem2", "mem_from_fd", "mem_from_phys", "mem_from_mb_blk"):
        getattr(library, f"rknn_create_{name}").restype = memory
    library.rknn_ep_simulator_configure.argtypes = [c.c_void_p, c.c_char_p]
    return library


def init_code(library: c.CDLL, model: bytes | Path, flag: int = 0, extend: InitExtend | None = None) -> tuple[int, int]:
    """(what rknn_init returned, the context)."""
    context = c.c_uint64()
    more = c.byref(extend) if extend is not None else None
    if isinstance(model, Path):
        code = library.rknn_init(c.byref(context), c.c_char_p(str(model).encode()), 0, flag, more)
    else:
        buffer = (c.c_char * max(1, len(model))).from_buffer_copy(model or b"\0")
        code = library.rknn_init(c.byref(context), buffer, len(model), flag, more)
    return code, context.value


class Context:
    """One rknn_context; every call raises RknnError where the library returned a negative code."""

    def __init__(
        self,
        library: c.CDLL,
        model: bytes | Path,
        flag: int = 0,
        options: str | None = None,
        extend: InitExtend | None = None,
    ) -> None:
        self.library = library
        self._check("configure", library.rknn_ep_simulator_configure(None, options.encode() if options is not None else None))
        code, self.handle = init_code(library, model, flag, extend)
        self._check("rknn_init", code)

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        if self.handle:
            self.destroy()

    def _check(self, function: str, code: int) -> None:
        if code < 0:
            raise RknnError(function, code)

    def call(self, function: str, *arguments: Any) -> None:
        self._check(function, getattr(self.library, function)(self.handle, *arguments))

    def destroy(self) -> None:
        self.call("rknn_destroy")
        self.handle = 0

    def duplicate(self) -> Context:
        copy = Context.__new__(Context)
        copy.library = self.library
        first, second = c.c_uint64(self.handle), c.c_uint64()
        self._check("rknn_dup_context", self.library.rknn_dup_context(c.byref(first), c.byref(second)))
        copy.handle = second.value
        return copy

    def query(self, command: int, info: Any, size: int | None = None) -> Any:
        self.call("rknn_query", command, c.byref(info), c.sizeof(info) if size is None else size)
        return info

    def attr(self, command: int, index: int = 0) -> TensorAttr:
        attr = TensorAttr(index=index)
        self.query(command, attr)
        return attr

    def set_inputs(
        self, arrays: Sequence[np.ndarray[Any, Any]], fmt: int = NCHW, pass_through: bool = False, types: Sequence[int] = ()
    ) -> None:
        arrays = [np.ascontiguousarray(array) for array in arrays]
        inputs = (Input * len(arrays))()
        for index, array in enumerate(arrays):
            kind = types[index] if types else DTYPES[array.dtype]
            inputs[index] = Input(index, array.ctypes.data, array.nbytes, int(pass_through), kind, fmt)
        self.call("rknn_inputs_set", len(arrays), inputs)

    def run(self, extend: RunExtend | None = None) -> None:
        self.call("rknn_run", c.byref(extend) if extend is not None else None)

    def memory(self, size: int) -> c._Pointer[TensorMem]:
        memory = self.library.rknn_create_mem(self.handle, size)
        assert memory, "rknn_create_mem gave nothing"
        return memory

    def get_outputs(self, want_float: bool = True, prealloc: bool = False) -> list[np.ndarray[Any, Any]]:
        numbers = self.query(IN_OUT_NUM, InputOutputNum())
        outputs = (Output * numbers.n_output)()
        arrays = []
        for index in range(numbers.n_output):
            attr = self.attr(OUTPUT_ATTR, index)
            dtype = np.dtype(np.float32) if want_float else NUMPY[attr.type]
            array = np.empty(attr.shape, dtype)
            outputs[index] = Output(int(want_float), int(prealloc), index)
            if prealloc:
                outputs[index].buf, outputs[index].size = array.ctypes.data, array.nbytes
            arrays.append(array)
        self.call("rknn_outputs_get", len(arrays), outputs, None)
        for array, output in zip(arrays, outputs, strict=True):
            if not prealloc:
                assert output.size == array.nbytes
                c.memmove(array.ctypes.data, output.buf, array.nbytes)
        self.call("rknn_outputs_release", len(arrays), outputs)
        return arrays

    def __call__(self, *arrays: np.ndarray[Any, Any]) -> list[np.ndarray[Any, Any]]:
        self.set_inputs(arrays)
        self.run()
        return self.get_outputs()
