"""Runs one bundle from Python, on whichever kind of device: a library that implements rknn_api, or a Python object.

    executor = open_bundle(content, choose_runtime(options), options)
    outputs = executor.run([x])

Frontends that hold addresses already (TVM) call `run_addresses`.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rknn_ep.artifact.atomic import write_atomically
from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.cache import Cache
from rknn_ep.artifact.native_text import NativeDescription, TensorDescription
from rknn_ep.errors import ExecutionError, ShapeError
from rknn_ep.options import Options
from rknn_ep.records import PythonExecutor, Runtime
from rknn_ep.runtime.executor import NativeExecutor
from rknn_ep.runtime.tensors import DTYPES


class BundleExecutor:
    """A bundle that is open on a device. Any number of threads may run it at once."""

    def __init__(self, description: NativeDescription, native: NativeExecutor | None, python: PythonExecutor | None) -> None:
        self.description = description
        self._native = native
        self._python = python
        if native is not None:
            native.sized(*(list(map(byte_size, tensors)) for tensors in (description.inputs, description.outputs)))

    def run(self, inputs: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Run once.

        Args:
            inputs: arrays in the order of the bundle's inputs, with its shapes; other dtypes are converted.

        Returns:
            New arrays in the order of the bundle's outputs.

        Raises:
            ShapeError: an input is missing or has another shape than the partition was compiled for.
            ExecutionError: the device failed.
        """
        expected = self.description.inputs
        if len(inputs) != len(expected):
            raise ShapeError(f"partition {self.description.partition} takes {len(expected)} inputs, not {len(inputs)}")
        given = [np.ascontiguousarray(array, DTYPES[spec.dtype]) for array, spec in zip(inputs, expected, strict=True)]
        for array, spec in zip(given, expected, strict=True):
            if array.shape != spec.dims and not (spec.dims == () and array.size == 1):
                raise ShapeError(f"input '{spec.name}' has shape {list(array.shape)}, not {list(spec.dims)}")
        outputs = [np.empty(spec.dims, DTYPES[spec.dtype]) for spec in self.description.outputs]
        self.run_addresses([array.ctypes.data for array in given], [array.ctypes.data for array in outputs])
        return outputs

    def run_addresses(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Run once on memory of the caller: one address a tensor, each as large and of the type that the bundle says.

        Raises:
            ExecutionError: the device failed.
        """
        if self._native is not None:
            self._native.run_addresses(inputs, outputs)
        elif self._python is not None:
            self._run_python(self._python, inputs, outputs)
        else:
            raise ExecutionError(f"partition {self.description.partition}: the executor is closed")

    def close(self) -> None:
        """Give the device back, once the runs under way are done; idempotent."""
        if self._native is not None:
            self._native.close()
        python, self._python = self._python, None
        if python is not None:
            python.close()

    def _run_python(self, python: PythonExecutor, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        arrays = [_array(address, spec) for address, spec in zip(inputs, self.description.inputs, strict=True)]
        for array in arrays:
            array.flags.writeable = False
        results = python.run(arrays)
        for address, spec, result in zip(outputs, self.description.outputs, results, strict=True):
            if np.shape(result) != spec.dims:
                raise ExecutionError(f"output '{spec.name}' has shape {list(np.shape(result))}, not {list(spec.dims)}")
            _array(address, spec)[...] = result


def open_bundle(content: bytes | np.ndarray[Any, Any], runtime: Runtime, options: Options) -> BundleExecutor:
    """Open a bundle that lies in memory on a device.

    Args:
        content: the bundle's bytes; an array is used where it lies and kept alive, not copied.
        runtime: the device: `rknn_ep.pipeline.choose_runtime` finds the one that options name.
        options: how to run on it (core_mask, contexts, io_mode, simulation, simulation_threads).

    Raises:
        ArtifactError: it is no bundle, or damaged, or of another version.
        ExecutionError: the device refused it: made for another SoC, or for the simulator only.
    """
    memory = np.frombuffer(content, np.uint8) if isinstance(content, bytes) else content
    bundle = Bundle.from_bytes(memory.tobytes(), "the bundle in memory")
    description = NativeDescription.from_text(bundle.read("native.txt").decode(), "native.txt of the bundle in memory")
    if runtime.executor is not None:
        python = runtime.executor(_as_file(memory.tobytes(), options), options.as_text())
        return BundleExecutor(description, None, python)
    if runtime.library is None:
        raise ExecutionError(f"device '{runtime.name}' has neither a library nor an executor: its plugin is broken")
    return BundleExecutor(description, NativeExecutor(memory, runtime.library(), options.as_text()), None)


def byte_size(tensor: TensorDescription) -> int:
    """Bytes of a tensor at the border."""
    return math.prod(tensor.dims) * int(np.dtype(DTYPES[tensor.dtype]).itemsize)


def _as_file(content: bytes, options: Options) -> Path:
    """The bundle as a file, for devices that are Python objects."""
    cache = Cache(options.cache_dir)
    key = f"executed-{hashlib.sha256(content).hexdigest()}"
    return cache.get_bundle(key) or cache.put_bundle(key, lambda path: write_atomically(path, content))


def _array(address: int, tensor: TensorDescription) -> np.ndarray[Any, Any]:
    raw = (ctypes.c_uint8 * byte_size(tensor)).from_address(address)
    array: np.ndarray[Any, Any] = np.ctypeslib.as_array(raw).view(DTYPES[tensor.dtype]).reshape(tensor.dims)
    return array
