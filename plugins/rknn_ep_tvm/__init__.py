"""TVM for rknn_ep: models with RKNN partitions as Relax modules that any TVM program compiles, exports and runs.

    import tvm, rknn_ep_tvm
    mod, report = rknn_ep_tvm.from_onnx("model.onnx", target="rk3588", calibration="photos/")
    executable = tvm.compile(mod, target="rockchip/rk3588-sim", relax_pipeline="rknn")

The targets, the pipeline and the functions that run partitions are there after a plain `import tvm`: TVM calls
`rknn_ep_tvm.backend.autoload`. Importing this package loads neither tvm nor onnx. See docs/tvm.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from rknn_ep.hookspecs import hookimpl
from rknn_ep.records import Frontend

if TYPE_CHECKING:
    from rknn_ep_tvm.carriers import bundles
    from rknn_ep_tvm.importing import Imported, from_onnx
    from rknn_ep_tvm.relax_partition import cut_for_rknn, partition_for_rknn
    from rknn_ep_tvm.running import close_executors
    from rknn_ep_tvm.targets import make_target
    from rknn_ep_tvm.tensors import as_tensor

__all__ = [
    "Imported",
    "as_tensor",
    "bundles",
    "close_executors",
    "cut_for_rknn",
    "from_onnx",
    "make_target",
    "partition_for_rknn",
]

_HOME = {
    "Imported": "importing",
    "as_tensor": "tensors",
    "bundles": "carriers",
    "close_executors": "running",
    "cut_for_rknn": "relax_partition",
    "from_onnx": "importing",
    "make_target": "targets",
    "partition_for_rknn": "relax_partition",
}


@hookimpl
def rknn_ep_frontends() -> Iterable[Frontend]:
    """`rknn_ep.register()` registers with TVM what `import tvm` registers by itself where autoloading is on."""
    from rknn_ep_tvm.backend import register_if_loaded, unregister
    from rknn_ep_tvm.version import unavailable

    yield Frontend("tvm", register_if_loaded, unregister, available=unavailable, description="Apache TVM 0.27 (Relax)")


def __getattr__(name: str) -> Any:
    if name in _HOME:
        from rknn_ep_tvm.version import require

        require()
        return getattr(import_module(f"rknn_ep_tvm.{_HOME[name]}"), name)
    raise AttributeError(f"module 'rknn_ep_tvm' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
