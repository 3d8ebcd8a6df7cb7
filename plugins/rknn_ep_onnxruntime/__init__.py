"""ONNX Runtime for rknn_ep: the execution provider's Python half, and ONNX Runtime's CPU as float executor."""

from __future__ import annotations

from collections.abc import Iterable

from rknn_ep.hookspecs import hookimpl
from rknn_ep.records import FloatExecutor, Frontend


@hookimpl
def rknn_ep_frontends() -> Iterable[Frontend]:
    """`rknn_ep.register()` makes RKNNExecutionProvider known to ONNX Runtime."""
    from rknn_ep_onnxruntime.registration import register, unavailable, unregister

    yield Frontend(
        "onnxruntime",
        register,
        unregister,
        available=unavailable,
        description="ONNX Runtime 1.23 and later, as a plugin provider",
    )


@hookimpl
def rknn_ep_float_executors() -> Iterable[FloatExecutor]:
    """Calibration and comparisons run on ONNX Runtime's CPU provider."""
    from rknn_ep_onnxruntime.float_executor import create
    from rknn_ep_onnxruntime.registration import missing

    yield FloatExecutor("onnxruntime", create, available=missing, description="ONNX Runtime's CPU provider")
