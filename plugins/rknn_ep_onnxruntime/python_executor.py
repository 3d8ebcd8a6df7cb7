"""Devices that are Python objects: hands the provider's addresses to a `PythonExecutor` as arrays and back."""

from __future__ import annotations

import ctypes
import itertools
import logging
from dataclasses import dataclass, replace
from typing import Any

import ml_dtypes
import numpy as np

from rknn_ep.artifact.native_text import NativeDescription, TensorDescription
from rknn_ep.errors import ExecutionError
from rknn_ep.records import PythonExecutor
from rknn_ep_onnxruntime.native import CloseFunction, RunFunction, encoded, library

log = logging.getLogger(__name__)

_TYPES: dict[str, Any] = {
    "FLOAT": np.float32,
    "FLOAT16": np.float16,
    "BFLOAT16": ml_dtypes.bfloat16,
    "INT8": np.int8,
    "UINT8": np.uint8,
    "INT16": np.int16,
    "UINT16": np.uint16,
    "INT32": np.int32,
    "UINT32": np.uint32,
    "INT64": np.int64,
    "BOOL": np.bool_,
}


@dataclass(frozen=True)
class _Attached:
    executor: PythonExecutor
    description: NativeDescription


_attached: dict[int, _Attached] = {}
"""The executors that sessions hold, by the id that the provider knows them by."""
_ids = itertools.count(1)


def attach(plan: int, executor: PythonExecutor, native_text: str) -> None:
    """Let `executor` run the partition that was added to `plan` last; it is closed when the session ends."""
    identity = next(_ids)
    _attached[identity] = _Attached(executor, NativeDescription.from_text(native_text))
    library().rknn_ep_plan_set_python_executor(plan, identity, _RUN, _CLOSE)


def _run(identity: int, inputs: Any, outputs: Any) -> int:
    """The callback for one inference; nothing may escape from it."""
    try:
        attached = _attached[identity]
        description = attached.description
        arrays = [_input(inputs[index], tensor) for index, tensor in enumerate(description.inputs)]
        for array in arrays:
            array.flags.writeable = False
        results = attached.executor.run(arrays)
        for index, (tensor, result) in enumerate(zip(description.outputs, results, strict=True)):
            if np.shape(result) != tensor.dims:
                raise ExecutionError(f"output '{tensor.name}' has shape {list(np.shape(result))}, not {list(tensor.dims)}")
            _array(outputs[index], tensor)[...] = result
        return 0
    except BaseException as error:  # noqa: BLE001  (nothing may cross into C)
        library().rknn_ep_set_last_error(encoded(f"{type(error).__name__}: {error}"))
        return 1


def _close(identity: int) -> None:
    try:
        _attached.pop(identity).executor.close()
    except BaseException:
        log.exception("an executor failed to close")


def _input(address: int, tensor: TensorDescription) -> np.ndarray[Any, Any]:
    """What the executor computes from: of a picture its pixels, float32 NCHW."""
    if not tensor.border:
        return _array(address, tensor)
    picture = _array(address, replace(tensor, dims=tensor.border_dims, dtype=tensor.border_dtype, border=""))
    return np.ascontiguousarray(picture.transpose(0, 3, 1, 2), np.float32)


def _array(address: int, tensor: TensorDescription) -> np.ndarray[Any, Any]:
    kind = np.dtype(_TYPES[tensor.dtype])
    size = int(np.prod(tensor.dims, dtype=np.int64)) * kind.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), dtype=kind).reshape(tensor.dims)


_RUN = RunFunction(_run)
_CLOSE = CloseFunction(_close)
