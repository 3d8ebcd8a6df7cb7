"""The models that are measured: real ones from registry packages, and shapes built here."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass(frozen=True)
class Case:
    """A model at one input size."""

    name: str
    path: Path
    shape: tuple[int, ...]
    goal: str = ""
    """What int8 simulation should take of ORT CPU fp32."""

    @property
    def input_shapes(self) -> str:
        """The option that fixes it."""
        model = onnx.load(self.path, load_external_data=False)
        constants = {item.name for item in model.graph.initializer}
        name = next(item.name for item in model.graph.input if item.name not in constants)
        return f"{name}:{','.join(map(str, self.shape))}"


def real_cases(folder: Path) -> Iterator[Case]:
    """PP-OCRv4 and EfficientNet-Lite0 where they can be had, and a model of YOLO's shape."""
    from rknn_ep.assets import fetch
    from rknn_ep.demo.assets import PPOCR_CLS, PPOCR_DET, PPOCR_REC

    yield Case("PP-OCRv4 det 480x480", fetch(PPOCR_DET), (1, 3, 480, 480), "at most 0.85")
    yield Case("PP-OCRv4 rec 48x320", fetch(PPOCR_REC), (1, 3, 48, 320))
    yield Case("PP-OCR cls 48x192", fetch(PPOCR_CLS), (1, 3, 48, 192))
    if (path := efficientnet_lite0()) is not None:
        yield Case("EfficientNet-Lite0 224x224", path, (1, 3, 224, 224), "at most 0.6")
    path = folder / "yolo.onnx"
    onnx.save(yolo_shaped(), path)
    yield Case("YOLO-shaped 320x320", path, (1, 3, 320, 320), "at most 0.6")


@cache
def efficientnet_lite0() -> Path | None:
    """The exported model, or None with a line on stderr that says what is missing."""
    from tests import models

    return _exported("EfficientNet-Lite0", models.efficientnet_lite0)


@cache
def minilm() -> Path | None:
    """The exported transformer, or None as above."""
    from tests import models

    return _exported("all-MiniLM-L6-v2", models.minilm)


def _exported(name: str, make: Callable[[], Path]) -> Path | None:
    from _pytest.outcomes import Skipped

    try:
        return make()
    except (Skipped, ImportError) as reason:
        print(f"  {name} is left out: {reason}", file=sys.stderr)
        return None


class Builder:
    """Builds a graph node by node; weights are random with a fixed seed, scaled so that activations keep their size."""

    def __init__(self, shape: tuple[int, ...], seed: int = 0) -> None:
        self.shape = shape
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def node(self, op_type: str, *inputs: str, **attributes: object) -> str:
        """Append a node with one output and give the output's name."""
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], f"{op_type.lower()}{len(self.nodes)}", **attributes))
        return output

    def constant(self, values: np.ndarray) -> str:
        """Append an initializer and give its name."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, x: str, channels: int, out: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> str:
        """Append a convolution with bias that keeps the size but for the stride."""
        fan_in = channels // groups * kernel * kernel
        weight = self.random.normal(0, (2 / fan_in) ** 0.5, (out, channels // groups, kernel, kernel))
        pad = kernel // 2
        return self.node(
            "Conv",
            x,
            self.constant(weight.astype(np.float32)),
            self.constant(self.random.normal(0, 0.1, out).astype(np.float32)),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[pad] * 4,
            group=groups,
        )

    def model(self, outputs: dict[str, tuple[int, ...] | None]) -> onnx.ModelProto:
        """The model with input x and the given outputs (name -> shape)."""
        graph = helper.make_graph(
            self.nodes,
            "benchmark",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def yolo_shaped(size: int = 320) -> onnx.ModelProto:
    """YOLOv8n's building blocks and widths: SiLU convolutions, C2f, SPPF, a top-down path and three heads, random weights."""
    build = Builder((1, 3, size, size))

    def silu(x: str, channels: int, out: int, kernel: int = 3, stride: int = 1) -> str:
        y = build.conv(x, channels, out, kernel, stride)
        return build.node("Mul", y, build.node("Sigmoid", y))

    def c2f(x: str, channels: int, out: int, repeats: int, shortcut: bool) -> str:
        half = out // 2
        first = silu(x, channels, out, 1)
        parts = []
        for begin in (0, half):
            bounds = [build.constant(np.array([value], np.int64)) for value in (begin, begin + half, 1)]
            parts.append(build.node("Slice", first, *bounds))
        for _ in range(repeats):
            y = silu(silu(parts[-1], half, half), half, half)
            parts.append(build.node("Add", parts[-1], y) if shortcut else y)
        return silu(build.node("Concat", *parts, axis=1), half * len(parts), out, 1)

    def upsample(x: str) -> str:
        scales = build.constant(np.array([1, 1, 2, 2], np.float32))
        return build.node("Resize", x, "", scales, coordinate_transformation_mode="asymmetric", nearest_mode="floor")

    x = silu(silu("x", 3, 16, stride=2), 16, 32, stride=2)
    x = c2f(x, 32, 32, 1, True)
    p3 = c2f(silu(x, 32, 64, stride=2), 64, 64, 2, True)
    p4 = c2f(silu(p3, 64, 128, stride=2), 128, 128, 2, True)
    x = c2f(silu(p4, 128, 256, stride=2), 256, 256, 1, True)
    pools = [silu(x, 256, 128, 1)]
    for _ in range(3):
        pools.append(build.node("MaxPool", pools[-1], kernel_shape=[5, 5], strides=[1, 1], pads=[2] * 4))
    p5 = silu(build.node("Concat", *pools, axis=1), 512, 256, 1)
    n4 = c2f(build.node("Concat", upsample(p5), p4, axis=1), 384, 128, 1, False)
    n3 = c2f(build.node("Concat", upsample(n4), p3, axis=1), 192, 64, 1, False)
    n4 = c2f(build.node("Concat", silu(n3, 64, 64, stride=2), n4, axis=1), 192, 128, 1, False)
    n5 = c2f(build.node("Concat", silu(n4, 128, 128, stride=2), p5, axis=1), 384, 256, 1, False)
    outputs: dict[str, tuple[int, ...] | None] = {}
    for level, channels, stride in ((n3, 64, 8), (n4, 128, 16), (n5, 256, 32)):
        side = size // stride
        boxes = build.conv(silu(silu(level, channels, 64), 64, 64), 64, 64, 1)
        scores = build.node("Sigmoid", build.conv(silu(silu(level, channels, 80), 80, 80), 80, 80, 1))
        outputs |= {boxes: (1, 64, side, side), scores: (1, 80, side, side)}
    return build.model(outputs)


def residual_chain(nodes: int) -> onnx.ModelProto:
    """About `nodes` nodes: residual blocks of Conv, Relu, Conv, Add, Relu, and now and then one the NPU does not take."""
    build = Builder((1, 8, 16, 16))
    # Shared weights keep the file small: it is the graph that is measured.
    weight = build.constant(np.random.default_rng(0).normal(0, 0.1, (8, 8, 3, 3)).astype(np.float32))
    x = "x"
    while len(build.nodes) < nodes - 1:
        y = build.node("Conv", x, weight, kernel_shape=[3, 3], pads=[1] * 4)
        y = build.node("Conv", build.node("Relu", y), weight, kernel_shape=[3, 3], pads=[1] * 4)
        x = build.node("Relu", build.node("Add", x, y))
        if len(build.nodes) % 100 < 5:
            x = build.node("Erf", x)
    return build.model({x: (1, 8, 16, 16)})


def trivial() -> onnx.ModelProto:
    """One Relu over 16 numbers: all that is measured is the way there and back."""
    build = Builder((1, 16))
    return build.model({build.node("Relu", "x"): (1, 16)})


def heavy(megabytes: int, op_type: str = "MatMul") -> onnx.ModelProto:
    """A chain of MatMul, or of 1x1 Conv, whose float weights take `megabytes`."""
    width = 2048
    shape = (1, width) if op_type == "MatMul" else (1, width, 1, 1)
    build = Builder(shape)
    x = "x"
    for _ in range(max(1, megabytes * 2**20 // (4 * width * width))):
        if op_type == "Conv":
            y = build.conv(x, width, width, 1)
        else:
            weight = build.random.normal(0, (2 / width) ** 0.5, (width, width)).astype(np.float32)
            y = build.node("MatMul", x, build.constant(weight))
        x = build.node("Relu", y)
    return build.model({x: shape})
