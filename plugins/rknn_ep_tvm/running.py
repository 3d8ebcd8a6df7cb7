"""The Python carrier's end: the global function `rknn_ep.run` that a TVM program calls for every partition.

A module compiled with it holds each bundle as a constant and passes it along in every call, with a description: the
hash of the bundle's content and how to run it. The description is the key: the bundle itself is read and hashed once.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rknn_ep.runtime import BundleExecutor

RUN = "rknn_ep.run"
"""Name of the global function; its arguments: bundle (uint8), description (text), inputs, outputs."""
SYMBOL = "rknn_partition"
"""The function in the native modules that are made here."""

_open: dict[str, Callable[..., None]] = {}
"""What runs a partition, by description. TVM tells nobody when a module is gone, so they stay until `close_executors`."""
_lock = threading.Lock()


def register() -> None:
    """Make `rknn_ep.run` known to TVM's runtime."""
    import tvm_ffi

    tvm_ffi.register_global_func(RUN, run, override=True)


def run(bundle: Any, description: str, *tensors: Any) -> None:
    """Run a partition once, in place.

    Args:
        bundle: the bundle, a uint8 tensor that stays where it is as long as its module lives.
        description: key=value lines, see `description`.
        *tensors: inputs, then outputs, in the bundle's order, contiguous and in the CPU's memory.

    Raises:
        RknnEpError: the bundle cannot be opened here, or the device failed.
    """
    (_open.get(description) or _opened(bundle, str(description)))(*tensors)


def close_executors() -> None:
    """Close every executor that ran partitions of TVM modules; the next run opens its own again. No run may be under way."""
    with _lock:
        _open.clear()  # each gives its device back as it goes


def _opened(bundle: Any, description: str) -> Callable[..., None]:
    from rknn_ep.errors import ArtifactError
    from rknn_ep.options import Options
    from rknn_ep.pipeline import choose_runtime
    from rknn_ep.runtime import open_bundle
    from rknn_ep_tvm import native
    from rknn_ep_tvm.description import parse

    with _lock:
        if (known := _open.get(description)) is not None:
            return known
        digest, options = parse(description)
        content = bundle.numpy().tobytes()  # a copy that this process may keep: a module's constants go with the module
        if hashlib.sha256(content).hexdigest() != digest:
            raise ArtifactError(
                "the bundle of an RKNN partition is not what the module was compiled with", remedy="Export the module again."
            )
        parsed = Options.parse(options)
        runtime = choose_runtime(parsed)
        if runtime.library is not None and native.load():
            # The native module compares the tensors and runs them in a fraction of the time.
            module = native.create(SYMBOL, f"{description}library={runtime.library()}\n", content)
            _open[description] = module[SYMBOL]
        else:
            _open[description] = partial(_run, open_bundle(content, runtime, parsed))
        return _open[description]


def _run(executor: BundleExecutor, *tensors: Any) -> None:
    """Run tensors of TVM, for devices that are Python objects and where the native module is not installed.

    Raises:
        ShapeError: a tensor is not what the partition was compiled for.
    """
    import numpy as np

    from rknn_ep.errors import ShapeError
    from rknn_ep_tvm.description import TVM_TYPES

    border = executor.description
    expected = (*border.inputs, *border.outputs)
    if len(tensors) != len(expected):
        raise ShapeError(
            f"partition {border.partition} takes {len(border.inputs)} inputs and {len(border.outputs)} outputs, "
            f"not {len(tensors)} tensors"
        )
    for spec, tensor in zip(expected, tensors, strict=True):
        shape, wanted = (",".join(map(str, dims)) for dims in (tensor.shape, spec.dims))
        where = f"tensor '{spec.name}' of partition {border.partition}"
        if shape != wanted:
            raise ShapeError(f"{where} has the shape [{shape}], but was compiled for [{wanted}]")
        if str(tensor.dtype) != TVM_TYPES[spec.dtype] or not tensor.is_contiguous() or tensor.device.type != "cpu":
            raise ShapeError(f"{where} is {tensor.dtype}, and must be {spec.dtype}, contiguous and in the CPU's memory")
    arrays = [np.from_dlpack(tensor) for tensor in tensors]
    count = len(border.inputs)
    results = executor.run([np.require(array, requirements=["ALIGNED"]) for array in arrays[:count]])
    for tensor, result in zip(tensors[count:], results, strict=True):
        tensor.copyfrom(result)
