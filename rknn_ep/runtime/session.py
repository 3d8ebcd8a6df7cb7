"""Sessions: a compiled model, ready to run on a device, with named inputs and outputs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from rknn_ep.errors import ExecutionError, OptionError, ShapeError
from rknn_ep.records import PythonExecutor
from rknn_ep.runtime.binding import Binding
from rknn_ep.runtime.devices import choose_device
from rknn_ep.runtime.executor import NativeExecutor
from rknn_ep.runtime.forms import Form
from rknn_ep.runtime.shaped import Shaped
from rknn_ep.runtime.source import open_source
from rknn_ep.runtime.submission import Submissions
from rknn_ep.runtime.tensors import TensorInfo

Array = np.ndarray[Any, Any]
Inputs = Mapping[str, Any] | Sequence[Any]
_QUEUED_PER_CONTEXT = 4


class Session:
    """A compiled model on a device.

        with Session("model_ctx.onnx", device="simulator", contexts=2) as session:
            outputs = session.run([picture])
            future = session.submit([picture])

    Every method may be called from any thread; as many runs as there are contexts go at once, the others wait in the
    order in which they came.
    """

    def __init__(
        self,
        model: str | Path | bytes,
        *,
        device: str = "auto",
        core_mask: str | int = "auto",
        contexts: int = 1,
        io_mode: str = "auto",
        simulation: str = "fast",
        simulation_threads: int = 1,
        queue: int = 0,
        partition: str | None = None,
        target: str = "",
    ) -> None:
        """Open a model.

        Args:
            model: an EPContext model that is one partition, a bundle (path or bytes), or a .rknn file; on the simulator a
                .rknn file needs its companion, see docs/simulator.md.
            device: auto, simulator, board, and what plugins add.
            core_mask: auto, all or a bit mask of NPU cores. Several contexts share the cores out, one each in turn.
            contexts: how many inferences may run at once; they share the weights.
            io_mode: auto, general or zero_copy: docs/options.md.
            simulation: fast or exact.
            simulation_threads: for each context of the simulator.
            queue: how many submitted runs may wait; 0: four for each context.
            partition: which partition of an EPContext model that has several.
            target: the SoC, where a bundle serves several; by default the one that this is, else the one that it was planned for.

        Raises:
            RknnEpError: ArtifactError, OptionError or ExecutionError, saying what is wrong with the model, the options or the
                device.
        """
        source = open_source(model, partition)
        runtime = choose_device(device)
        options = {
            "core_mask": str(core_mask).lower(),
            "contexts": str(contexts),
            "io_mode": io_mode,
            "simulation": simulation,
            "simulation_threads": str(simulation_threads),
            **({"target": target.lower()} if target else {}),
        }
        if queue < 0:
            raise OptionError(f"queue is a whole number from 0, not {queue}")
        self.device = runtime.name
        """The device's name: simulator, board."""
        self._lock = threading.Lock()
        self._closed = False
        self._native: NativeExecutor | None = None
        self._python: PythonExecutor | None = None
        self._own: Binding | None = None
        self._source = source
        if runtime.library is not None:
            self._native = NativeExecutor(source.model, runtime.library(), options)
        elif runtime.executor is not None and isinstance(source.model, Path) and source.description is not None:
            self._python = runtime.executor(source.model, options)
        else:
            raise OptionError(f"device '{runtime.name}' does not run {source.origin}")
        self._choices = int(self._native.facts["shapes"]) if self._native is not None else 1
        self._shapes: dict[int, Shaped] = {}
        self._at = self._shaped(0)
        self._names = {one.name: index for index, one in enumerate(self.inputs)}
        self._submissions = Submissions(contexts, queue or _QUEUED_PER_CONTEXT * contexts, f"rknn_ep-{self.device}")

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """In the order in which `run` takes them; with the shapes that are set."""
        return self._at.inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """In the order in which `run` gives them."""
        return self._at.outputs

    @property
    def facts(self) -> Mapping[str, str]:
        """What the native runtime says: library, library.missing, api_version, driver_version, weight_bytes, io_mode, ..."""
        return dict(self._native.facts) if self._native is not None else {}

    # ------------------------------------------------------------------------------------------ input shapes

    @property
    def input_shapes(self) -> tuple[tuple[tuple[int, ...], ...], ...]:
        """The choices of input shapes that the model was compiled for (`dynamic_input`), the largest first; in each, a shape
        for every input, as `run` takes it.
        """
        if len(self._source.descriptions) > 1 or self._choices == 1:
            described = self._source.descriptions or (None,)
            return tuple(
                tuple(one.border_dims for one in choice.inputs) if choice else tuple(one.shape for one in self.inputs)
                for choice in described
            )
        return tuple(tuple(one.shape for one in self._shaped(index).inputs) for index in range(self._choices))

    def set_input_shapes(self, shapes: Sequence[Sequence[int]] | Mapping[str, Sequence[int]]) -> None:
        """Choose the input shapes of the runs that follow (`rknn_set_input_shapes`): `inputs` and `outputs` change, and bound
        memory is new.

        `run` and `submit` follow the shapes of their arrays by themselves; what needs this call is `bind`, `buffer`, and
        knowing the outputs' shapes beforehand.

        Args:
            shapes: one for each input, in order or by name; together one of `input_shapes`.

        Raises:
            ShapeError: the model was not compiled for them.
            ExecutionError: the device refuses, or the session is closed.
        """
        given = [shapes[name] for name in self._names if name in shapes] if isinstance(shapes, Mapping) else list(shapes)
        wanted = tuple(tuple(map(int, shape)) for shape in given)
        at = self._shaped(self._find(wanted))
        with self._lock:
            if self._at is not at and self._own is not None:
                self._own.close()
                self._own = None
            self._at = at

    def _find(self, wanted: tuple[tuple[int, ...], ...]) -> int:
        if wanted in (choices := self.input_shapes):
            return choices.index(wanted)
        raise ShapeError(
            f"the model was compiled for the input shapes {' or '.join(str([*map(list, one)]) for one in choices)}, "
            f"not {[*map(list, wanted)]}",
            remedy="Compile it for these too: rknn-ep compile --dynamic-input ...",
        )

    def _shaped(self, index: int) -> Shaped:
        if index not in self._shapes:
            native = self._native
            if native is not None and index:
                native = native.at_shape(index)
            self._shapes[index] = Shaped.of(self._source, index, native, self._buffer)
        return self._shapes[index]

    def _fitting(self, inputs: Inputs, layout: str | None) -> Shaped:
        """For the shapes of these inputs; the ones that are set where they fit none, so that errors name those."""
        if self._choices == 1:
            return self._at
        given = []
        for info, value in zip(self.inputs, self._in_order(inputs), strict=True):
            shape = np.shape(value)
            pictured = info.picture if layout is None else layout.upper() == "NHWC"
            if len(shape) == 4 and pictured != info.picture:
                order = (0, 3, 1, 2) if pictured else (0, 2, 3, 1)
                shape = tuple(shape[axis] for axis in order)
            given.append(shape)
        choices = self.input_shapes
        return self._shaped(choices.index(tuple(given))) if tuple(given) in choices else self._at

    # ------------------------------------------------------------------------------------------ running

    def run(
        self,
        inputs: Inputs | None = None,
        out: Sequence[Array] | None = None,
        *,
        layout: str | None = None,
        pass_through: Sequence[bool] | None = None,
    ) -> list[Array]:
        """One inference.

        Args:
            inputs: arrays by position, or by name. numpy arrays, or anything with `__dlpack__` on the CPU; they are read
                where they lie. None: what lies in the `buffer` of each input.
            out: arrays to fill instead of new ones: contiguous, of the outputs' shapes and dtypes.
            layout: NHWC or NCHW: inputs of any number type are taken, pictures in this layout, and the device's runtime
                converts them; uint8 pictures go in as the camera made them. None: as `inputs` says, NCHW and of its dtype.
            pass_through: for each input whether it is in the device's own type and layout already (`device` of `inputs`).

        Returns:
            The outputs in order: new arrays, or `out`, or (with inputs None) views of each output's `buffer`.

        Raises:
            ShapeError: a number, name, shape or dtype that is not the model's.
            ExecutionError: the device failed, or the session is closed.
        """
        if inputs is None:
            binding = self._own_binding()
            binding.run()
            return [one.array for one in binding.outputs]
        at = self._at if self._choices == 1 else self._fitting(inputs, layout)
        if layout is None and pass_through is None and at.native is not None:
            # A list of the caller's may be changed by its other threads, and what is run must stay alive.
            given = tuple(inputs) if type(inputs) is list else self._in_order(inputs)
            filled = at.native.run_plain(given, at.takes, out if out is None else tuple(out), at.gives)
            if filled is not None:
                return filled
        results = at.empty() if out is None else at.checked(out)
        if layout is None and pass_through is None:
            self._execute(at, at.arrays(self._in_order(inputs)), results)
        else:
            self._execute_forms(at, at.forms(self._in_order(inputs), layout, pass_through), results)
        return results

    def submit(
        self,
        inputs: Inputs,
        out: Sequence[Array] | None = None,
        *,
        layout: str | None = None,
        pass_through: Sequence[bool] | None = None,
        timeout: float | None = None,
    ) -> Future[list[Array]]:
        """Start one inference; its arrays must stay as they are until the future is done.

        Args:
            inputs: as `run`.
            out: as `run`.
            layout: as `run`.
            pass_through: as `run`.
            timeout: seconds to wait for room in the queue; None: as long as it takes.

        Returns:
            A future of what `run` returns; started in the order of submission.

        Raises:
            ShapeError: as `run`, at once.
            ExecutionError: the session is closed, or there was no room in time.
        """
        at = self._fitting(inputs, layout)
        results = None if out is None else at.checked(out)
        execute: Callable[[list[Array]], None]
        if layout is None and pass_through is None:
            execute = partial(self._execute, at, at.arrays(self._in_order(inputs)))
        else:
            execute = partial(self._execute_forms, at, at.forms(self._in_order(inputs), layout, pass_through))

        def work() -> list[Array]:
            filled = results if results is not None else at.empty()
            execute(filled)
            return filled

        return self._submissions.submit(work, timeout)

    def _execute(self, at: Shaped, arrays: Sequence[Array], results: Sequence[Array]) -> None:
        if at.native is not None:
            at.native.run(arrays, results)
            return
        with self._lock:  # Python executors promise nothing about threads
            if self._closed or self._python is None:
                raise ExecutionError("the session is closed", remedy="Open a new one.")
            given = [
                np.ascontiguousarray(array.transpose(0, 3, 1, 2), np.float32) if info.picture else array
                for array, info in zip(arrays, at.inputs, strict=True)
            ]
            for result, made in zip(results, self._python.run(given), strict=True):
                result[...] = made

    def _execute_forms(self, at: Shaped, forms: Sequence[Form], results: Sequence[Array]) -> None:
        if at.native is not None:
            at.native.run_inputs(forms, results)
        else:
            self._execute(at, [form.at_border(info) for form, info in zip(forms, at.inputs, strict=True)], results)

    def _in_order(self, inputs: Inputs) -> Sequence[Any]:
        if isinstance(inputs, Mapping):
            if inputs.keys() != self._names.keys():
                raise ShapeError(f"the inputs are {list(self._names)}, not {list(inputs)}")
            inputs = [inputs[name] for name in self._names]
        elif isinstance(inputs, np.ndarray):
            raise ShapeError("inputs is one array", remedy="Give a list, even for one input: run([array]).")
        if len(inputs) != len(self._names):
            raise ShapeError(f"the model has {len(self._names)} inputs, not {len(inputs)}")
        return inputs

    # ------------------------------------------------------------------------------------------ bound memory

    def bind(self, *, types: Mapping[str, str] | None = None, layouts: Mapping[str, str] | None = None) -> Binding:
        """Memory that device and program share, with a context of its own: the zero-copy flow of rknn_api.

            with session.bind() as bound:
                bound.inputs[0].array[...] = picture
                bound.run()
                scores = bound.outputs[0].array

        Args:
            types: tensor name -> type in memory (uint8, int8, float16, float32, ...); else the device's own.
            layouts: tensor name -> NHWC, NCHW or NC1HWC2; else what the device likes best, and NHWC for outputs.

        Raises:
            ShapeError: a name that is no input or output.
            ExecutionError: the device has no memory to share, or not in that type or layout.
        """
        native = self._at.native
        if native is None:
            raise ExecutionError(f"device '{self.device}' has no memory to share")
        options = {}
        for key, chosen in (("type", types), ("format", layouts)):
            for name, value in (chosen or {}).items():
                options[f"{self._position(name)}.{key}"] = str(value).upper()
        return native.bind(options)

    def _position(self, name: str) -> str:
        for kind, tensors in (("input", self.inputs), ("output", self.outputs)):
            for index, one in enumerate(tensors):
                if one.name == name:
                    return f"{kind}.{index}"
        raise ShapeError(f"no input or output is called '{name}': there are {[one.name for one in self.inputs + self.outputs]}")

    def _own_binding(self) -> Binding:
        with self._lock:
            if self._closed:
                raise ExecutionError("the session is closed", remedy="Open a new one.")
            if self._own is None:
                self._own = self.bind()
            return self._own

    def _buffer(self, kind: str, index: int) -> Array:
        binding = self._own_binding()
        return (binding.inputs if kind == "input" else binding.outputs)[index].array

    # ------------------------------------------------------------------------------------------ the end

    def close(self) -> None:
        """Cancel submitted runs that wait, let running ones end, and give the device back. May be called again."""
        self._submissions.close()
        with self._lock:
            first, self._closed = not self._closed, True
            if self._own is not None:
                self._own.close()
            if self._python is not None and first:
                self._python.close()
        if self._native is not None:
            self._native.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
