"""Running compiled models from Python: the Python face of the native runtime, without ONNX Runtime's sessions around it.

    from rknn_ep.runtime import Session

    with Session("model_ctx.onnx") as session:
        scores, boxes = session.run([picture])

See docs/runtime.md.
"""

from rknn_ep.runtime.bundle_executor import BundleExecutor, open_bundle
from rknn_ep.runtime.session import Session
from rknn_ep.runtime.tensors import TensorInfo

__all__ = ["BundleExecutor", "Session", "TensorInfo", "open_bundle"]
