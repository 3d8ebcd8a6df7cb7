"""Small float networks, and the requests that the pipeline makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rknn_ep import pipeline
from rknn_ep.graph import load_model
from rknn_ep.options import Options
from rknn_ep.plugins import plugins
from rknn_ep.records import CompileRequest


class Net:
    """Builds a float model node by node, weights random with a fixed seed."""

    def __init__(self, shape: Sequence[int], seed: int = 0) -> None:
        self.shape = tuple(shape)
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op_type.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def constant(self, *shape: int, scale: float = 0.3) -> str:
        return self.given(self.random.normal(0, scale, shape).astype(np.float32))

    def given(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def conv(self, x: str, channels: int, out: int, kernel: int = 3, **attributes: Any) -> str:
        pads = [kernel // 2] * 4
        weight, bias = self.constant(out, channels, kernel, kernel), self.constant(out)
        return self.add("Conv", x, weight, bias, kernel_shape=[kernel, kernel], pads=pads, **attributes)

    def model(self, *outputs: str) -> bytes:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return onnx.shape_inference.infer_shapes(made).SerializeToString()


def samples(shape: Sequence[int], count: int = 20, seed: int = 1) -> np.ndarray:
    """Smooth noise in -1..1: [count, *shape]."""
    return np.clip(np.random.default_rng(seed).normal(0, 0.5, (count, *shape)), -1, 1).astype(np.float32)


def conv_net() -> Net:
    """Convolutions, a residual, squeeze and excite: input [1, 16, 32, 32], output mul8_out."""
    net = Net((1, 16, 32, 32))
    a = net.add("Relu", net.conv("x", 16, 32))
    b = net.conv(net.add("Relu", net.conv(a, 32, 32)), 32, 32)
    c = net.add("Add", a, b)
    gate = net.add("Sigmoid", net.conv(c, 32, 32, kernel=1))
    net.add("Mul", c, gate)
    return net


def requests(model: bytes, folder: Path, shape: Sequence[int], **options: Any) -> list[CompileRequest]:
    """What the compilers are asked for: the model planned and, unless precision is fp16, quantised on smooth noise."""
    data = folder / "calibration.npy"
    np.save(data, samples(shape))
    given = {"target": "rk3588", "calibration_method": "minmax", "min_partition_macs": 0, **options}
    parsed = Options.parse(given if given.get("precision") == "fp16" else {"calibration": data, **given})
    manager = plugins()
    plan = pipeline.make_plan(load_model(model), parsed, manager)
    [quantized], _ = pipeline._quantize([plan], parsed, manager, lambda message, share: None)
    return [pipeline._request(plan, part, made, parsed, manager) for part, made in zip(plan.partitions, quantized, strict=True)]


def with_simulation(request: CompileRequest) -> CompileRequest:
    """The request as the pipeline hands it on: with the simulator's entries."""
    from dataclasses import replace

    entries: dict[str, bytes] = {}
    for compiler in plugins().compilers().values():
        if "*" in compiler.devices:
            entries |= dict(compiler.compile(request).entries)
    return replace(request, entries=entries)
