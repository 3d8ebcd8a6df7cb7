"""librknn_ep.so through ctypes: the declarations of native/onnxruntime/planner.h and native/runtime/rknn_ep.h."""

from __future__ import annotations

import ctypes
from functools import cache

from rknn_ep.native import load

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
    text, address, nodes = ctypes.c_char_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_uint64)
    return load(
        "PROVIDER",
        {
            "rknn_ep_set_planner": (None, PlanFunction),
            "rknn_ep_plan_add_partition": (None, address, text, nodes, ctypes.c_uint64, text, text, text, text),
            "rknn_ep_plan_set_python_executor": (None, address, ctypes.c_int64, RunFunction, CloseFunction),
            "rknn_ep_plan_fail": (None, address, text),
            "rknn_ep_plan_nothing": (None, address, text),
            "rknn_ep_plan_log": (None, address, ctypes.c_int, text),
            "rknn_ep_set_last_error": (None, text),
            "rknn_ep_set_device_metadata": (None, text),
            "rknn_ep_option_names": (text,),
            "rknn_ep_version": (text,),
        },
    )


def encoded(text: str) -> bytes:
    """Text as C reads it: UTF-8 up to a zero byte; what UTF-8 cannot hold (file names) goes through unchanged."""
    return text.replace("\0", "").encode("utf-8", "surrogateescape")
