"""Runs one compiled model on a library that implements rknn_api: arrays in, arrays out, by position."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rknn_ep.artifact.native_text import format_lines, parse_lines
from rknn_ep.errors import ExecutionError
from rknn_ep.runtime.binding import Binding
from rknn_ep.runtime.forms import Form
from rknn_ep.runtime.native import Input, encoded, library, onnxruntime_library, raise_last_error

Array = np.ndarray[Any, Any]


_addressof = ctypes.addressof
_from_buffer = ctypes.c_char.from_buffer
_NO_BUFFER = TypeError, ValueError, BufferError
"""What `_from_buffer` raises: the array is read-only, empty, not contiguous, or of a type that the buffer protocol lacks."""
_ndarray, _empty = np.ndarray, np.empty
Specs = Sequence[tuple[int, tuple[int, ...], np.dtype[Any]]]
"""Number, shape and dtype of each input or output."""
Parts = tuple[memoryview, memoryview, Callable[[], int]]


class _Frame(threading.local):
    """The addresses that a call hands over and the call with all its arguments, made once for each thread: filling the
    addresses in is what is left to do.
    """

    def __init__(self, function: Callable[..., int], handle: int | None, *sizes: ctypes.Array[ctypes.c_uint64]) -> None:
        self._arrays = [(ctypes.c_size_t * max(1, len(one)))() for one in sizes]
        inputs, outputs = (memoryview(one).cast("B").cast("P") for one in self._arrays)
        arguments: list[Any] = [ctypes.c_void_p(handle)]
        for array, size in zip(self._arrays, sizes, strict=True):
            addresses = (ctypes.c_void_p(ctypes.addressof(one)) for one in (array, size))
            arguments += [*addresses, ctypes.c_uint64(len(size))]
        self.parts: Parts = inputs, outputs, partial(function, *arguments)


def address_of(array: Array) -> int:
    """Where a contiguous array's first element lies."""
    try:
        return _addressof(_from_buffer(array))  # type: ignore[arg-type]  # a third of what array.ctypes takes
    except _NO_BUFFER:
        return int(array.ctypes.data)


class NativeExecutor:
    """A model on a device. Thread-safe; `close` may come from any thread at any time.

    A call that is under way keeps this object, and with it the native handle, alive.
    """

    def __init__(self, model: Path | bytes | Array, library_path: Path | str, options: Mapping[str, str]) -> None:
        """Open it.

        Args:
            model: a bundle or a .rknn file; or a bundle's bytes, which stay where they are and are kept alive.
            library_path: of librknnrt.so, or its name for the loader's search path.
            options: core_mask, contexts, io_mode, simulation, simulation_threads.

        Raises:
            ExecutionError: the library or the model cannot be loaded, or the device refuses.
        """
        self._library = library()
        self._handle: int | None = None
        self._memory: Array | None = None
        handle = ctypes.c_void_p()
        text = encoded(format_lines({**options, "onnxruntime": onnxruntime_library()}))
        if isinstance(model, Path):
            code = self._library.rknn_ep_executor_open(encoded(model), encoded(library_path), text, ctypes.byref(handle))
        else:
            self._memory = memory = np.frombuffer(model, np.uint8)
            code = self._library.rknn_ep_executor_open_memory(
                memory.ctypes.data, memory.nbytes, encoded(library_path), text, ctypes.byref(handle)
            )
        if code:
            raise_last_error()
        self._opened(handle)

    def at_shape(self, shape: int) -> NativeExecutor:
        """The same executor for another of the model's choices of input shapes, by number; `facts` says how many `shapes`.

        Raises:
            ExecutionError: there is no such choice, or the device refuses it.
        """
        handle = ctypes.c_void_p()
        if self._library.rknn_ep_executor_shape(self._handle, shape, ctypes.byref(handle)):
            raise_last_error()
        other = object.__new__(type(self))
        other._library, other._memory = self._library, self._memory
        other._opened(handle)
        return other

    def _opened(self, handle: ctypes.c_void_p) -> None:
        self._handle = handle.value
        self.facts = parse_lines(self._library.rknn_ep_executor_describe(handle).decode("utf-8", "surrogateescape"))
        self._run = self._library["rknn_ep_executor_run"]  # without argtypes: frames hold arguments of the right types
        counts = int(self.facts["inputs"]), int(self.facts["outputs"])
        self._outputs = ctypes.c_void_p * counts[1]
        self._sizes = tuple(ctypes.c_uint64 * count for count in counts)

    def sized(self, input_bytes: Sequence[int], output_bytes: Sequence[int]) -> None:
        """Say how large the arrays are that `run` will be given: native code compares them with the model's."""
        self._input_sizes = self._sizes[0](*input_bytes)
        self._output_sizes = self._sizes[1](*output_bytes)
        self._frames = _Frame(self._run, self._handle, self._input_sizes, self._output_sizes)

    def run(self, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Fill `outputs`. Every array is contiguous and of the size that `sized` named.

        Raises:
            ExecutionError: the device failed, or the executor is closed.
        """
        self.run_addresses([*map(address_of, inputs)], [*map(address_of, outputs)])

    def run_plain(self, inputs: Sequence[Any], takes: Specs, out: Sequence[Any] | None, gives: Specs) -> list[Array] | None:
        """`run` of what may be something else than arrays that fit, checked on the way: the road of nearly every inference.

        Args:
            inputs: of the caller; nobody else may change this sequence meanwhile.
            takes: what the inputs are.
            out: to fill, as `inputs`; None: new arrays.
            gives: what the outputs are.

        Returns:
            What was filled. None where anything is not simply a contiguous writeable array that fits; nothing was run then.

        Raises:
            ExecutionError: as `run`.
        """
        if len(inputs) != len(takes) or (out is not None and len(out) != len(gives)):
            return None
        inputs_at, outputs_at, call = self._frames.parts
        results = []
        try:
            for index, shape, dtype in takes:
                array = inputs[index]
                if type(array) is not _ndarray or array.dtype is not dtype or array.shape != shape:
                    return None
                inputs_at[index] = _addressof(_from_buffer(array))  # type: ignore[arg-type]
            for index, shape, dtype in gives:
                if out is None:
                    array = _empty(shape, dtype)
                else:
                    array = out[index]
                    if type(array) is not _ndarray or array.dtype is not dtype or array.shape != shape:
                        return None
                outputs_at[index] = _addressof(_from_buffer(array))  # type: ignore[arg-type]
                results.append(array)
        except _NO_BUFFER:
            return None
        if call():
            raise_last_error()
        return results

    def run_addresses(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Run on memory of the caller: one address a tensor, each as large as `sized` named.

        Raises:
            ExecutionError: as `run`.
        """
        inputs_at, outputs_at, call = self._frames.parts
        for index, address in enumerate(inputs):
            inputs_at[index] = address
        for index, address in enumerate(outputs):
            outputs_at[index] = address
        if call():
            raise_last_error()

    def run_inputs(self, inputs: Sequence[Form], outputs: Sequence[Array]) -> None:
        """The same with inputs in types and layouts of the caller's.

        Raises:
            ExecutionError: as `run`, and where the device does not take that type or layout.
        """
        forms = (Input * len(inputs))(
            *(Input(address_of(one.array), one.array.nbytes, one.type, one.format, one.pass_through) for one in inputs)
        )
        if self._library.rknn_ep_executor_run_inputs(
            self._handle, forms, len(forms), self._outputs(*map(address_of, outputs)), self._output_sizes, len(outputs)
        ):
            raise_last_error()

    def bind(self, options: Mapping[str, str]) -> Binding:
        """Memory that device and caller share; see `Session.bind`.

        Raises:
            ExecutionError: the device has no such memory, or not in the type or layout that was asked for.
        """
        handle = ctypes.c_void_p()
        if self._library.rknn_ep_binding_open(self._handle, encoded(format_lines(options)), ctypes.byref(handle)):
            raise_last_error()
        if handle.value is None:
            raise ExecutionError("rknn_ep_binding_open gave nothing")
        return Binding(handle.value)

    def close(self) -> None:
        """Wait for the runs that are under way and give the device back; runs that come later fail."""
        if self._handle is not None and self._library.rknn_ep_executor_shut_down(self._handle):
            raise_last_error()

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            self._library.rknn_ep_executor_close(self._handle)
