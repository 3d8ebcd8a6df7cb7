"""The Python carrier's end: the global function `rknn_ep.run` that a TVM program calls for every partition.

A module compiled with it holds each bundle as a constant and passes it along in every call, with a description: the
hash of the bundle's content and how to run it. The description is the key: the bundle itself is read and hashed once.
"""

from __future__ import annotations

import hashlib
import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rknn_ep.runtime import BundleExecutor

RUN = "rknn_ep.run"
"""Name of the global function; its arguments: bundle (uint8), description (text), inputs, outputs."""

_MISALIGNED = 7
"""Bits of an address that are not zero where an element of 8 bytes does not lie as the processor wants it."""


@dataclass(frozen=True)
class _Opened:
    executor: BundleExecutor
    inputs: int
    elements: tuple[int, ...]
    """Of every tensor, inputs first."""


_open: dict[str, _Opened] = {}
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
        description: key=value lines, see `description`.
        *tensors: inputs, then outputs, in the bundle's order, contiguous and in the CPU's memory.

    Raises:
        RknnEpError: the bundle cannot be opened here, or the device failed.
    """
    opened = _open.get(description) or _opened(bundle, str(description), tensors)
    # Shapes and types were compared when it was opened, and a compiled call never changes them; comparing them again would
    # take longer than everything else here. The number of elements is compared always: it guards memory.
    if tuple(tensor.numel() for tensor in tensors) != opened.elements:
        _compare(opened.executor, tensors)
    addresses = [tensor.data_ptr() for tensor in tensors]
    if any(address & _MISALIGNED for address in addresses):
        _run_copied(opened, addresses)
        return
    opened.executor.run_addresses(addresses[: opened.inputs], addresses[opened.inputs :])


def close_executors() -> None:
    """Close every executor that ran partitions of TVM modules; the next run opens its own again. No run may be under way."""
    with _lock:
        for opened in _open.values():
            opened.executor.close()
        _open.clear()


def _opened(bundle: Any, description: str, tensors: Sequence[Any]) -> _Opened:
    from rknn_ep.errors import ArtifactError
    from rknn_ep.options import Options
    from rknn_ep.pipeline import choose_runtime
    from rknn_ep.runtime import open_bundle
    from rknn_ep_tvm.description import parse

    with _lock:
        if (known := _open.get(description)) is not None:
            return known
        digest, options = parse(description)
        content = bundle.numpy()  # a copy that this process may keep: a module's constants go with the module
        if hashlib.sha256(content).hexdigest() != digest:
            raise ArtifactError(
                "the bundle of an RKNN partition is not what the module was compiled with", remedy="Export the module again."
            )
        parsed = Options.parse(options)
        executor = open_bundle(content, choose_runtime(parsed), parsed)
        _compare(executor, tensors)
        border = executor.description
        elements = tuple(math.prod(tensor.dims) for tensor in (*border.inputs, *border.outputs))
        _open[description] = _Opened(executor, len(border.inputs), elements)
        return _open[description]


def _compare(executor: BundleExecutor, tensors: Sequence[Any]) -> None:
    """Refuse tensors that are not what the partition was compiled for.

    Raises:
        ShapeError: the first difference.
    """
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
        shape = ",".join(map(str, tensor.shape))
        where = f"tensor '{spec.name}' of partition {border.partition}"
        if tuple(tensor.shape) != spec.dims:
            raise ShapeError(f"{where} has the shape [{shape}], but was compiled for [{','.join(map(str, spec.dims))}]")
        if str(tensor.dtype) != TVM_TYPES[spec.dtype] or not tensor.is_contiguous() or tensor.device.type != "cpu":
            raise ShapeError(f"{where} is {tensor.dtype} and not contiguous {spec.dtype} in the CPU's memory")


def _run_copied(opened: _Opened, addresses: Sequence[int]) -> None:
    """Run on copies: memory that is not aligned to its elements came in without a copy from somewhere."""
    import ctypes

    import numpy as np

    from rknn_ep.runtime.bundle_executor import byte_size

    border = opened.executor.description
    sizes = [byte_size(tensor) for tensor in (*border.inputs, *border.outputs)]
    copies = [np.empty(size, np.uint8) for size in sizes]
    moved = [copy.ctypes.data for copy in copies]
    for index in range(opened.inputs):
        ctypes.memmove(moved[index], addresses[index], sizes[index])
    opened.executor.run_addresses(moved[: opened.inputs], moved[opened.inputs :])
    for index in range(opened.inputs, len(sizes)):
        ctypes.memmove(addresses[index], moved[index], sizes[index])
