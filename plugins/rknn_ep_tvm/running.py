"""The Python carrier's end: the global function `rknn_ep.run` that a TVM program calls for every partition.

A module compiled with it holds each bundle as a constant and passes it along in every call, with a description: the
hash of the bundle's content and how to run it. The description is the key: the bundle itself is read and hashed once.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rknn_ep.runtime import BundleExecutor

RUN = "rknn_ep.run"
"""Name of the global function; its arguments: bundle (uint8), description (text), inputs, outputs."""

_open: dict[str, BundleExecutor] = {}
"""Executors by description. TVM tells nobody when a module is gone, so they stay until `close_executors`."""
_lock = threading.Lock()


def register() -> None:
    """Make `rknn_ep.run` known to TVM's runtime."""
    import tvm_ffi

    tvm_ffi.register_global_func(RUN, run, override=True)


def run(bundle: Any, description: str, *tensors: Any) -> None:
    """Run a partition once, in place.

    Args:
        bundle: the bundle, a uint8 tensor that stays where it is as long as its module lives.
        description: key=value lines, see `carriers`.
        *tensors: inputs, then outputs, in the bundle's order, contiguous and in the CPU's memory.

    Raises:
        RknnEpError: the bundle cannot be opened here, or the device failed.
    """
    executor = _open.get(description) or _opened(bundle, str(description))
    inputs = len(executor.description.inputs)
    addresses = [tensor.data_ptr() for tensor in tensors]
    executor.run_addresses(addresses[:inputs], addresses[inputs:])


def close_executors() -> None:
    """Close every executor that ran partitions of TVM modules; the next run opens its own again. No run may be under way."""
    with _lock:
        for executor in _open.values():
            executor.close()
        _open.clear()


def _opened(bundle: Any, description: str) -> BundleExecutor:
    from rknn_ep.errors import ArtifactError
    from rknn_ep.options import Options
    from rknn_ep.pipeline import choose_runtime
    from rknn_ep.runtime import open_bundle
    from rknn_ep_tvm.carriers import parse_description

    with _lock:
        if (executor := _open.get(description)) is not None:
            return executor
        digest, options = parse_description(description)
        content = bundle.numpy()  # a copy that this process may keep: a module's constants go with the module
        if hashlib.sha256(content).hexdigest() != digest:
            raise ArtifactError(
                "the bundle of an RKNN partition is not what the module was compiled with", remedy="Export the module again."
            )
        parsed = Options.parse(options)
        executor = open_bundle(content, choose_runtime(parsed), parsed)
        _open[description] = executor
        return executor
