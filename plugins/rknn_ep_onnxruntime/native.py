"""librknn_ep.so through ctypes: the declarations of native/onnxruntime/planner.h and native/runtime/rknn_ep.h."""

from __future__ import annotations

import ctypes
from functools import cache

from rknn_ep.api import native_library

PlanFunction = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_char_p)
"""(plan, address of the model, its size, options as key=value lines) -> 0, or 1 for a fatal error."""

RunFunction = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int64, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_void_p))
"""(executor id, addresses of the inputs, addresses of the outputs) -> 0, or 1 with rknn_ep_set_last_error."""

CloseFunction = ctypes.CFUNCTYPE(None, ctypes.c_int64)
"""(executor id)."""


@cache
def library() -> ctypes.CDLL:
    """The provider library, the same copy that ONNX Runtime loads.

    Raises:
        NotInstalledError: the native libraries are not installed.
    """
    loaded = ctypes.CDLL(str(native_library("PROVIDER")))
    text, address = ctypes.c_char_p, ctypes.c_void_p
    _declare(loaded, "rknn_ep_set_planner", None, PlanFunction)
    _declare(
        loaded, "rknn_ep_plan_add_partition", None,
        address, text, ctypes.POINTER(ctypes.c_uint64), ctypes.c_uint64, text, text, text, text,
    )  # fmt: skip
    _declare(loaded, "rknn_ep_plan_set_python_executor", None, address, ctypes.c_int64, RunFunction, CloseFunction)
    _declare(loaded, "rknn_ep_plan_fail", None, address, text)
    _declare(loaded, "rknn_ep_plan_log", None, address, ctypes.c_int, text)
    _declare(loaded, "rknn_ep_set_last_error", None, text)
    _declare(loaded, "rknn_ep_set_device_metadata", None, text)
    _declare(loaded, "rknn_ep_option_names", text)
    _declare(loaded, "rknn_ep_version", text)
    return loaded


def _declare(loaded: ctypes.CDLL, name: str, result: type | None, *arguments: type) -> None:
    function = getattr(loaded, name)
    function.restype = result
    function.argtypes = list(arguments)


def encoded(text: str) -> bytes:
    """Text as C reads it: UTF-8 up to a zero byte; what UTF-8 cannot hold (file names) goes through unchanged."""
    return text.replace("\0", "").encode("utf-8", "surrogateescape")
