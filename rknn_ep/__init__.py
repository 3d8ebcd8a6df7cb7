"""Run ONNX models on Rockchip NPUs from the runtimes people already use.

    import onnxruntime as ort, rknn_ep
    rknn_ep.register()
    session = ort.InferenceSession("model.onnx", providers=["RKNNExecutionProvider", "CPUExecutionProvider"])

Importing this package loads neither onnxruntime nor tvm nor the vendor toolkit.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rknn_ep.api import get_ep_name, get_ep_names, get_library_path, register, unregister
    from rknn_ep.hookspecs import hookimpl
    from rknn_ep.importing import import_model
    from rknn_ep.pipeline import camera_input, compile, partition, quantize

__all__ = [
    "camera_input",
    "compile",
    "get_ep_name",
    "get_ep_names",
    "get_library_path",
    "hookimpl",
    "import_model",
    "partition",
    "quantize",
    "register",
    "unregister",
]

_HOME = {
    "camera_input": "rknn_ep.pipeline",
    "compile": "rknn_ep.pipeline",
    "get_ep_name": "rknn_ep.api",
    "get_ep_names": "rknn_ep.api",
    "get_library_path": "rknn_ep.api",
    "hookimpl": "rknn_ep.hookspecs",
    "import_model": "rknn_ep.importing",
    "partition": "rknn_ep.pipeline",
    "quantize": "rknn_ep.pipeline",
    "register": "rknn_ep.api",
    "unregister": "rknn_ep.api",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rknn-ep")
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'rknn_ep' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
