"""`device=toolkit2`: the vendor's simulator behind the provider, one process for each partition of a session.

    executor = Toolkit2Executor(bundle_path, {"target": "rk3588"})
    outputs = executor.run([x])

The model is built in that process when the executor is made, from the bundle's simulation; nothing is kept. Tensors go
through files in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import ml_dtypes
import numpy as np
import onnx
from onnx.helper import tensor_dtype_to_np_dtype

from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import CompileError, ExecutionError
from rknn_ep_toolkit2.compiler import attempt_piece
from rknn_ep_toolkit2.dataset import dataset_files
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.isolate import locate
from rknn_ep_toolkit2.settings import Settings
from rknn_ep_toolkit2.vendor_copy import VendorCopy, vendor_copy
from rknn_ep_toolkit2.worker import RemoteSession, workers

Array = np.ndarray[Any, Any]

MODEL, WEIGHTS = "simulation.onnx", "simulation.data"
_RUN_SECONDS = 600.0


class VendorSimulator:
    """A model in the vendor's simulator: arrays in, arrays out, as often as wanted.

    Raises:
        ToolkitError: there is no toolkit, it refuses the model, or its process died.
    """

    def __init__(self, copy: VendorCopy, settings: Settings, samples: Iterable[Sequence[Array]] = ()) -> None:
        """Build `copy`; with calibration samples (a float model's) the toolkit quantises by itself."""
        files: dict[str, bytes] = {}
        dataset = dataset_files(samples, files)
        self._session: RemoteSession = workers().open(
            "simulator",
            {"model": "model.onnx", "config": settings.config(bool(dataset)), "quantize": bool(dataset), "dataset": dataset},
            files={**files, "model.onnx": copy.content},
            timeout=settings.timeout,
            memory_limit=settings.memory_limit,
        )
        graph = onnx.load_model_from_string(copy.content).graph
        self.input_names = tuple(value.name for value in graph.input)
        self.output_names = tuple(value.name for value in graph.output)
        self._dtypes = [tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type) for value in graph.output]
        self._shapes = [tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim) for value in graph.output]
        self.seconds = 0.0
        """What the toolkit itself took for the last run."""

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Arrays in the model's order and layout (NCHW) -> its outputs, in their ONNX types and shapes."""
        described = []
        for index, array in enumerate(inputs):
            # The toolkit takes no bfloat16 and no booleans; it brings what it gets to the model's type.
            plain = array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array
            plain = plain.astype(np.uint8) if plain.dtype == np.bool_ else plain
            name = f"input{index}"
            np.ascontiguousarray(plain).tofile(self._session.folder / name)
            described.append({"file": name, "dtype": str(plain.dtype), "shape": list(plain.shape)})
        files = [f"output{index}" for index in range(len(self.output_names))]
        answer = self._session.call("infer", timeout=_RUN_SECONDS, inputs=described, outputs=files)
        self.seconds = float(answer["seconds"])
        if len(answer["outputs"]) != len(files):
            raise ExecutionError(f"the vendor's simulator gave {len(answer['outputs'])} outputs instead of {len(files)}")
        return [self._read(index, one) for index, one in enumerate(answer["outputs"])]

    def parameters(self) -> dict[str, Any] | None:
        """The toolkit's own table of quantisation parameters, where it can be read."""
        found: dict[str, Any] | None = self._session.call("parameters")["parameters"]
        return found

    def log(self) -> str:
        """What the toolkit wrote, with its layer table."""
        return self._session.log()

    def close(self) -> None:
        """End the process."""
        self._session.close()

    def _read(self, index: int, described: Mapping[str, Any]) -> Array:
        array = np.fromfile(self._session.folder / f"output{index}", dtype=described["dtype"])
        shape = self._shapes[index]
        if array.size != int(np.prod(shape, dtype=np.int64)):
            raise ExecutionError(
                f"the vendor's simulator gave '{self.output_names[index]}' as {described['shape']}, not as {list(shape)}"
            )
        return array.reshape(shape).astype(self._dtypes[index], copy=False)


class Toolkit2Executor:
    """A bundle in the vendor's simulator: what `device=toolkit2` runs.

    Raises:
        ToolkitError: there is no toolkit, or it refuses the model; the message names the node.
    """

    def __init__(self, bundle: Path, options: Mapping[str, str]) -> None:
        opened = Bundle.open(bundle)
        description = NativeDescription.from_text(opened.read("native.txt").decode(), f"{bundle}: native.txt")
        content = simulation_of(opened)
        copy = vendor_copy(content, description.partition)
        settings = Settings.of(options.get("target", description.target), description.precision, options)
        try:
            self._simulator = VendorSimulator(copy, settings)
        except ToolkitError as error:
            keep = options.get("keep_failing")
            raise locate(
                copy.content,
                partial(attempt_piece, settings=settings, by_vendor=False, cancel=Event()),
                error,
                name=f"{description.partition} for {settings.target}",
                keep=Path(keep) if keep else None,
                known=[node.name for node in onnx.load_model_from_string(content).graph.node],
                seconds=settings.timeout,
            ) from error

    def run(self, inputs: Sequence[Array]) -> Sequence[Array]:
        """Arrays in the order of the bundle's inputs -> arrays in the order of its outputs."""
        return self._simulator.run(inputs)

    def close(self) -> None:
        """End the process."""
        self._simulator.close()


def simulation_of(bundle: Bundle) -> bytes:
    """A bundle's simulation as one ONNX model, its weights inside.

    Raises:
        CompileError: the bundle has none.
    """
    if MODEL not in bundle.names:
        raise CompileError(
            f"{bundle.origin} holds no simulation, so the vendor's simulator has nothing to build",
            remedy="Compile the model without --strip-simulation. A .rknn that was wrapped has none.",
        )
    return join(bundle.read(MODEL), bundle.read(WEIGHTS) if WEIGHTS in bundle.names else b"")


def join(model: bytes, weights: bytes) -> bytes:
    """simulation.onnx with the weights of simulation.data inside."""
    proto = onnx.load_model_from_string(model)
    for tensor in proto.graph.initializer:
        if tensor.data_location != onnx.TensorProto.EXTERNAL:
            continue
        place = {entry.key: entry.value for entry in tensor.external_data}
        start, size = int(place.get("offset", "0")), int(place["length"])
        tensor.raw_data = weights[start : start + size]
        tensor.ClearField("external_data")
        tensor.data_location = onnx.TensorProto.DEFAULT
    content: bytes = proto.SerializeToString()
    return content
