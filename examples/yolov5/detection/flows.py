"""Three ways to run the network. Each takes a uint8 picture [size,size,3] and gives the outputs as float32 arrays."""

from __future__ import annotations

import ctypes as c
from pathlib import Path
from typing import Protocol

import numpy as np

from detection import rknn


class Flow(Protocol):
    """The network, ready to run."""

    size: int

    def run(self, picture: np.ndarray) -> list[np.ndarray]: ...

    def close(self) -> None: ...


class OnnxRuntime:
    """ONNX Runtime with the provider: any ONNX model, compiled or not; what the NPU does not take runs on the CPU."""

    def __init__(self, model: Path, options: dict[str, str]) -> None:
        import onnxruntime

        import rknn_ep

        rknn_ep.register()
        providers = [("RKNNExecutionProvider", options), "CPUExecutionProvider"]
        self.session = onnxruntime.InferenceSession(str(model), providers=providers)
        (self.input,) = self.session.get_inputs()
        self.size = int(self.input.shape[2])  # of [1,H,W,3] and of [1,3,H,W]

    def run(self, picture: np.ndarray) -> list[np.ndarray]:
        if self.input.type == "tensor(uint8)":
            fed = picture[None]
        else:
            fed = np.ascontiguousarray(picture.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
        return self.session.run(None, {self.input.name: fed})

    def close(self) -> None:
        del self.session


class Copying:
    """The copying functions of rknn_api: the runtime takes the picture and gives float32 back, with a copy each way."""

    def __init__(self, model: Path) -> None:
        self.context = rknn.Context(model)
        self.size = self.context.inputs[0].dims[1]

    def run(self, picture: np.ndarray) -> list[np.ndarray]:
        picture = np.ascontiguousarray(picture)
        given = rknn.Input(0, picture.ctypes.data, picture.nbytes, 0, rknn.UINT8, rknn.NHWC)
        self.context.call("rknn_inputs_set", 1, c.byref(given))
        self.context.call("rknn_run", None)
        arrays = [np.empty(tuple(attr.dims[: attr.n_dims]), np.float32) for attr in self.context.outputs]
        outputs = (rknn.Output * len(arrays))()
        for index, array in enumerate(arrays):
            outputs[index] = rknn.Output(1, 1, index, array.ctypes.data, array.nbytes)
        self.context.call("rknn_outputs_get", len(arrays), outputs, None)
        self.context.call("rknn_outputs_release", len(arrays), outputs)
        return arrays

    def close(self) -> None:
        self.context.close()


class ZeroCopy:
    """Memory that program and NPU share: bound once, then every frame is written, run and read in place."""

    def __init__(self, model: Path) -> None:
        self.context = rknn.Context(model)
        attr = self.context.attr(rknn.QUERY_NATIVE_INPUT_ATTR, 0)
        if attr.fmt != rknn.NHWC:
            raise SystemExit("the model's input is no picture")
        _, self.size, width, channels = attr.dims[:4]
        stride = max(attr.w_stride, width)
        attr.type, attr.pass_through = rknn.UINT8, 0  # bytes as the camera gives them; the runtime makes codes of them
        memory = self.context.bind(attr, self.size * stride * channels)
        self.picture = np.frombuffer(memory, np.uint8).reshape(self.size, stride, channels)[:, :width]
        self.outputs = []
        for index, normal in enumerate(self.context.outputs):
            native = self.context.attr(rknn.QUERY_NATIVE_OUTPUT_ATTR, index)
            if native.fmt != rknn.NC1HWC2 or native.type != rknn.INT8:
                raise SystemExit("the zero-copy flow reads int8 in NC1HWC2: compile the model in int8")
            codes = np.frombuffer(self.context.bind(native, native.size_with_stride), np.int8)
            self.outputs.append((codes[: native.n_elems].reshape(native.dims[: native.n_dims]), native, normal.dims[1]))

    def run(self, picture: np.ndarray) -> list[np.ndarray]:
        self.picture[...] = picture  # row by row where the device's rows are longer
        self.context.call("rknn_run", None)
        return [_real(codes, attr, channels) for codes, attr, channels in self.outputs]

    def close(self) -> None:
        self.picture, self.outputs = None, []  # they look into the context's memory
        self.context.close()


def _real(codes: np.ndarray, attr: rknn.TensorAttr, channels: int) -> np.ndarray:
    """int8 [N,C1,H,W,C2] -> float32 [N,C,H,W]."""
    batch, blocks, height, width, block = codes.shape
    planar = codes.transpose(0, 1, 4, 2, 3).reshape(batch, blocks * block, height, width)[:, :channels]
    return (planar.astype(np.float32) - np.float32(attr.zp)) * np.float32(attr.scale)
