"""librknn_ep.so through ctypes: the declarations of native/runtime/rknn_ep.h."""

from __future__ import annotations

import ctypes
import importlib.util
import os
from functools import cache
from pathlib import Path
from typing import NoReturn

from rknn_ep.errors import ExecutionError
from rknn_ep.native import load

ONNXRUNTIME_VARIABLE = "RKNN_EP_ONNXRUNTIME"
"""Path of the libonnxruntime that the simulator computes with, outside of ONNX Runtime's own sessions."""


@cache
def library() -> ctypes.CDLL:
    """The native library, the same copy that ONNX Runtime loads as a provider.

    Raises:
        NotInstalledError: the native libraries are not installed.
    """
    text, address, number = ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint64
    code = ctypes.c_int
    handle, size, descriptor = ctypes.POINTER(address), ctypes.POINTER(number), ctypes.POINTER(ctypes.c_int32)
    return load(
        "PROVIDER",
        {
            "rknn_ep_last_error": (text,),
            "rknn_ep_executor_open": (code, text, text, text, handle),
            "rknn_ep_executor_open_memory": (code, address, number, text, text, handle),
            "rknn_ep_executor_run": (code, address, address, address, number, address, address, number),
            "rknn_ep_executor_run_inputs": (code, address, address, number, address, address, number),
            "rknn_ep_executor_shape": (code, address, number, handle),
            "rknn_ep_executor_describe": (text, address),
            "rknn_ep_executor_shut_down": (code, address),
            "rknn_ep_executor_close": (None, address),
            "rknn_ep_binding_open": (code, address, text, handle),
            "rknn_ep_binding_describe": (text, address),
            "rknn_ep_binding_memory": (code, address, ctypes.c_int, number, handle, size, descriptor),
            "rknn_ep_binding_run": (code, address),
            "rknn_ep_binding_close": (None, address),
        },
    )


class Input(ctypes.Structure):
    """rknn_ep_input: one input in a type and layout of the caller's."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
        ("type", ctypes.c_int32),
        ("format", ctypes.c_int32),
        ("pass_through", ctypes.c_int32),
    )


def raise_last_error() -> NoReturn:
    """Raise what the library says about the call that failed on this thread.

    Raises:
        ExecutionError: always; the lines after the first are the remedy.
    """
    text = (library().rknn_ep_last_error() or b"").decode("utf-8", "replace")
    message, _, remedy = (text or "the native runtime failed without a reason").partition("\n")
    raise ExecutionError(message, remedy=remedy.strip())


def encoded(text: str | Path) -> bytes:
    """Text or a path as C reads it: what UTF-8 cannot hold (file names) goes through unchanged."""
    return str(text).replace("\0", "").encode("utf-8", "surrogateescape")


def onnxruntime_library() -> str:
    """Path of the library that the simulator computes with where no ONNX Runtime has loaded us as a provider; empty: none.

    The one that the environment names, else that of the installed onnxruntime package, which is not imported.
    """
    return os.environ.get(ONNXRUNTIME_VARIABLE) or _packaged_onnxruntime()


def let_simulator_find_onnxruntime() -> None:
    """Name the package's library to simulators that native code opens by itself, unless the user named one."""
    if ONNXRUNTIME_VARIABLE not in os.environ and (path := _packaged_onnxruntime()):
        os.environ[ONNXRUNTIME_VARIABLE] = path


@cache
def _packaged_onnxruntime() -> str:
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return ""
    found = sorted((Path(spec.origin).parent / "capi").glob("libonnxruntime.so*"))
    return str(found[0]) if found else ""
