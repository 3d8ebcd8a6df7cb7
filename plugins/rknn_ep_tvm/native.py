"""The C++ carrier's library, native/tvm: loaded where it is installed, so that exported modules find their loader."""

from __future__ import annotations

from typing import Any

from rknn_ep.errors import NotInstalledError

LOADER = "ffi.Module.load_from_bytes.rknn"
CREATE = "rknn_ep.create_module"


def load() -> bool:
    """Load the library unless some copy of it is loaded: a second one would abort the process. False: not installed."""
    import ctypes

    import tvm_ffi

    from rknn_ep.api import native_library
    from rknn_ep.runtime.native import let_simulator_find_onnxruntime

    if tvm_ffi.get_global_func(LOADER, allow_missing=True) is None:
        try:
            ctypes.CDLL(str(native_library("TVM")))
        except (NotInstalledError, AttributeError):
            return False
    let_simulator_find_onnxruntime()
    return True


def create(symbol: str, description: str, content: bytes) -> Any:
    """A TVM module with one function, `symbol`, that runs the bundle.

    Raises:
        NotInstalledError: the native libraries are not installed.
    """
    import tvm_ffi

    if not load():
        raise NotInstalledError(
            "carrier=native needs the native library of rknn-ep, which is not installed", remedy="python -m pip install ."
        )
    return tvm_ffi.get_global_func(CREATE)(symbol, description, content)
