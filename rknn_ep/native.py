"""A native library of the wheel through ctypes: loaded, and its functions declared."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

from rknn_ep.api import native_library

Declarations = Mapping[str, tuple[type | None, *tuple[type, ...]]]
"""Name of a function -> type of its result (None: void), then those of its arguments."""


def load(which: str, declarations: Declarations) -> ctypes.CDLL:
    """The library PROVIDER, SIMULATOR or TVM with these functions declared; every call declares anew, on the same copy in memory.

    Raises:
        NotInstalledError: the native libraries are not installed.
    """
    loaded = ctypes.CDLL(str(native_library(which)))
    for name, (result, *arguments) in declarations.items():
        function = getattr(loaded, name)
        function.restype = result
        function.argtypes = arguments
    return loaded
