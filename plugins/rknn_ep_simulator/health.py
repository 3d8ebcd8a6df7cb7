"""Whether the simulator's library can do its work here."""

from __future__ import annotations

import ctypes
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import rknn_ep
from rknn_ep.records import Health

_NEEDED = ("rknn_init", "rknn_query", "rknn_run", "rknn_ep_simulator_configure")


def check(library: Path) -> Health:
    """Load it and look for what programs call; it computes with ONNX Runtime, so that belongs to it."""
    try:
        loaded = ctypes.CDLL(str(library))
    except OSError as error:
        return Health("error", f"{library} cannot be loaded: {error}", "python -m pip install --force-reinstall rknn-ep")
    if lacking := [name for name in _NEEDED if not hasattr(loaded, name)]:
        return Health("error", f"{library} lacks {', '.join(lacking)}", "python -m pip install --force-reinstall rknn-ep")
    try:
        engine = f"onnxruntime {version('onnxruntime')}"
    except PackageNotFoundError:
        return Health(
            "warning", f"{library} computes with ONNX Runtime, and none is installed", "python -m pip install onnxruntime"
        )
    return Health("ok", f"rknn_ep {rknn_ep.__version__}, computing with {engine}: {library}")
