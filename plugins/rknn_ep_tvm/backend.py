"""What TVM must know of us: targets, the pipeline, and the functions that run partitions.

TVM calls `autoload` at the end of `import tvm` (entry-point group `tvm.backends`), also in its RPC server and in
runtime-only mode, where no compiler exists. Nothing heavy is imported here: a partition's first run does that.
"""

from __future__ import annotations

import sys

from rknn_ep import errors
from rknn_ep_tvm.version import require


def autoload() -> None:
    """Register everything that this TVM can take; TVM turns an exception into a warning with its text.

    Raises:
        NotInstalledError: TVM is of another version than the one this package is written for.
    """
    register()


def register() -> None:
    """Register with TVM. Idempotent."""
    require()
    import tvm
    import tvm_ffi

    from rknn_ep_tvm import native, running

    for kind in (kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.RknnEpError)):
        tvm_ffi.register_error(kind.__name__, kind)  # so that they come out of TVM as what they went in
    running.register()
    native.load()
    if not tvm._RUNTIME_ONLY:
        from rknn_ep_tvm import codegen, pipeline, targets

        targets.register()
        pipeline.register()
        codegen.register()


def register_if_loaded() -> None:
    """What `rknn_ep.register()` does here: nothing where TVM is not loaded, because `import tvm` will then call `autoload`.

    Programs that use another runtime must not wait for TVM, which takes seconds to import.
    """
    if "tvm" in sys.modules:
        register()


def unregister() -> None:
    """Close all executors. TVM takes no registration back, and modules that are loaded may still want to run."""
    from rknn_ep_tvm import running

    running.close_executors()
