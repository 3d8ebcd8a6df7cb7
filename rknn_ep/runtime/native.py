"""The C interface of librknn_ep.so (native/runtime/rknn_ep.h) through ctypes, and what the simulator needs in this process."""

from __future__ import annotations

import ctypes
import os
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rknn_ep.api import native_library

ONNXRUNTIME_VARIABLE = "RKNN_EP_ONNXRUNTIME"
"""Path of the libonnxruntime that the simulator computes with, outside of ONNX Runtime's own sessions."""


@cache
def library() -> ctypes.CDLL:
    """The native library with the executor's functions declared.

    Raises:
        NotInstalledError: the native libraries are not installed.
    """
    loaded = ctypes.CDLL(str(native_library("PROVIDER")))
    text, address, size = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint64
    addresses, sizes = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_uint64)
    _declare(loaded, "rknn_ep_last_error", text)
    _declare(loaded, "rknn_ep_executor_open_memory", ctypes.c_int, address, size, text, text, addresses)
    _declare(loaded, "rknn_ep_executor_run", ctypes.c_int, address, addresses, sizes, size, addresses, sizes, size)
    _declare(loaded, "rknn_ep_executor_close", None, address)
    return loaded


def last_error() -> str:
    """Why the last native call on this thread failed."""
    text: bytes = library().rknn_ep_last_error()
    return text.decode("utf-8", "replace")


def let_simulator_find_onnxruntime() -> None:
    """Name the Python package's libonnxruntime to the simulator, unless the user named one. Imports nothing."""
    if ONNXRUNTIME_VARIABLE in os.environ:
        return
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return
    found = sorted((Path(spec.origin).parent / "capi").glob("libonnxruntime.so*"))
    if found:
        os.environ[ONNXRUNTIME_VARIABLE] = str(found[0])


def _declare(loaded: ctypes.CDLL, name: str, result: type | None, *arguments: type) -> None:
    function = getattr(loaded, name)
    function.restype = result
    function.argtypes = list(arguments)
