"""Writes a graph of YOLOv5s's true architecture (v6: Conv 6x6 stem, C3, SPPF, PANet, three detection heads), with random weights.

    python make_model.py yolov5s.onnx

The trained weights are not ours to give: this one has the shapes, the operators and the 7,225,885 parameters of the real
one, finds boxes in every picture, and means nothing by them. A yolov5s.onnx of your own takes its place everywhere here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

CLASSES = 80
ANCHORS = 3
STRIDES = (8, 16, 32)
HEAD, OBJECTNESS, CLASS = 0.25, -4.0, -2.0
"""Deviation and biases of the heads: most cells see nothing."""


class Writer:
    """Adds layers to a graph; values are names. A small picture runs along: every convolution is scaled by what it sees."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []
        # Patches of every size, as in photographs, with a grain over them.
        layers = [
            self.random.normal(0, 1, (1, 1, 160 // step, 160 // step)).repeat(step, 2).repeat(step, 3) for step in (1, 4, 10, 40)
        ]
        grey = sum(weight * layer for weight, layer in zip((0.03, 0.08, 0.2, 0.4), layers, strict=True))
        tint = self.random.normal(0.45, 0.05, (1, 3, 1, 1))
        self.seen = {"images": np.clip(grey + tint, 0, 1).astype(np.float32)}
        """Value -> what it is for the small picture."""

    def channels(self, name: str) -> int:
        return self.seen[name].shape[1]

    def node(self, kind: str, inputs: list[str], tensors: Sequence[np.ndarray] = (), **attributes: object) -> str:
        """One operator on values and constants; gives its output's name."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        constants = [numpy_helper.from_array(array, f"{name}_{index}") for index, array in enumerate(tensors)]
        names = [*inputs, *(constant.name for constant in constants)]
        if kind == "Resize":
            names.insert(1, "")
        made = helper.make_node(kind, names, [name], name, **attributes)
        self.seen[name] = _run(made, {key: self.seen[key] for key in inputs}, constants)
        self.nodes.append(made)
        self.tensors += constants
        return name

    def convolution(self, source: str, out: int, kernel: int, deviation: float, bias: np.ndarray, **attributes: object) -> str:
        """A convolution whose channels have the mean `bias`, and together the given deviation, as after batch normalisation."""
        weight = self.random.normal(0, 1, (out, self.channels(source), kernel, kernel)).astype(np.float32)
        trial = helper.make_node("Conv", [source, "w"], ["y"], kernel_shape=[kernel] * 2, **attributes)
        raw = _run(trial, {source: self.seen[source]}, [numpy_helper.from_array(weight, "w")])
        mean = raw.mean((0, 2, 3), keepdims=True)
        factor = deviation / float(
            (raw - mean).std()
        )  # one for the layer: a channel that sees little here may see much elsewhere
        offset = bias - mean.reshape(-1) * factor
        folded = (weight * np.float32(factor)).astype(np.float32)
        return self.node("Conv", [source], [folded, offset.astype(np.float32)], kernel_shape=[kernel] * 2, **attributes)

    def conv(self, source: str, out: int, kernel: int = 1, stride: int = 1, pad: int | None = None) -> str:
        """Convolution with its batch normalisation folded, and SiLU."""
        pads = [kernel // 2 if pad is None else pad] * 4
        made = self.convolution(source, out, kernel, 1.0, np.zeros(out), strides=[stride] * 2, pads=pads)
        return self.node("Mul", [made, self.node("Sigmoid", [made])])

    def concat(self, *sources: str) -> str:
        return self.node("Concat", list(sources), axis=1)

    def c3(self, source: str, out: int, depth: int = 1, shortcut: bool = True) -> str:
        half = out // 2
        inner = self.conv(source, half)
        for _ in range(depth):
            made = self.conv(self.conv(inner, half), half, 3)
            inner = self.node("Add", [inner, made]) if shortcut else made
        return self.conv(self.concat(inner, self.conv(source, half)), out)

    def sppf(self, source: str, out: int) -> str:
        pooled = [self.conv(source, self.channels(source) // 2)]
        for _ in range(3):
            pooled.append(self.node("MaxPool", [pooled[-1]], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4))
        return self.conv(self.concat(*pooled), out)

    def upsample(self, source: str) -> str:
        return self.node("Resize", [source], [np.float32([1, 1, 2, 2])], mode="nearest",
                         coordinate_transformation_mode="asymmetric", nearest_mode="floor")  # fmt: skip

    def head(self, source: str) -> str:
        bias = np.zeros((ANCHORS, 5 + CLASSES))
        bias[:, 4], bias[:, 5:] = OBJECTNESS, CLASS
        return self.convolution(source, bias.size, 1, HEAD, bias.reshape(-1))


def _run(node: onnx.NodeProto, values: dict[str, np.ndarray], constants: Sequence[onnx.TensorProto]) -> np.ndarray:
    def info(name: str, shape: object) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    inputs = [info(name, array.shape) for name, array in values.items()]
    graph = helper.make_graph([node], "one", inputs, [info(node.output[0], None)], list(constants))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, values)[0]


def build(size: int = 640, seed: int = 0) -> onnx.ModelProto:
    """Input `images` float32 [1,3,size,size] in 0..1; outputs the raw heads [1,255,size/8,size/8], /16, /32."""
    if size % STRIDES[-1]:
        raise SystemExit(f"the size is a multiple of {STRIDES[-1]}, not {size}")
    w = Writer(seed)
    stem = w.conv("images", 32, 6, 2, pad=2)
    p2 = w.c3(w.conv(stem, 64, 3, 2), 64, 1)
    p3 = w.c3(w.conv(p2, 128, 3, 2), 128, 2)
    p4 = w.c3(w.conv(p3, 256, 3, 2), 256, 3)
    p5 = w.sppf(w.c3(w.conv(p4, 512, 3, 2), 512, 1), 512)
    top = w.conv(p5, 256)
    middle = w.conv(w.c3(w.concat(w.upsample(top), p4), 256, shortcut=False), 128)
    small = w.c3(w.concat(w.upsample(middle), p3), 128, shortcut=False)
    medium = w.c3(w.concat(w.conv(small, 128, 3, 2), middle), 256, shortcut=False)
    large = w.c3(w.concat(w.conv(medium, 256, 3, 2), top), 512, shortcut=False)
    outputs = [w.head(source) for source in (small, medium, large)]
    graph = helper.make_graph(
        w.nodes,
        "yolov5s",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, size, size])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, ANCHORS * (5 + CLASSES), size // stride, size // stride])
            for name, stride in zip(outputs, STRIDES, strict=True)
        ],
        w.tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="where to write the ONNX model")
    parser.add_argument("--size", type=int, default=640)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    onnx.save(build(arguments.size, arguments.seed), arguments.model)


if __name__ == "__main__":
    main()
