"""Bundles made the way the pipeline makes them: our compiler's entries in a real bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rknn_ep.artifact.bundle import write_bundle
from rknn_ep.plugins import plugins
from rknn_ep.records import CompileRequest, CompileResult
from rknn_ep_simulator.compiler import compile_partition

Array = np.ndarray[Any, Any]
Named = tuple[str, int, Sequence[int | str]]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[Named],
    outputs: Sequence[Named],
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A checked model; inputs and outputs are (name, element type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "partition",
        [helper.make_tensor_value_info(*item) for item in inputs],
        [helper.make_tensor_value_info(*item) for item in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in (constants or {}).items()],
    )
    domains = {node.domain for node in nodes} - {"", "ai.onnx"}
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    made = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    if not domains:
        onnx.checker.check_model(made, full_check=True)
    return made


def compiled(
    proto: onnx.ModelProto, precision: str = "fp16", target: str = "rk3588", groups: Sequence[Sequence[str]] = ()
) -> CompileResult:
    """What the simulator's compiler makes of the model."""
    request = CompileRequest(
        model=proto.SerializeToString(),
        target=plugins().target(target),
        precision=precision,
        partition="rknn_0",
        groups=tuple(tuple(group) for group in groups),
        options={},
    )
    return compile_partition(request)


def bundle(
    path: Path,
    proto: onnx.ModelProto,
    precision: str = "fp16",
    target: str = "rk3588",
    groups: Sequence[Sequence[str]] = (),
    text: dict[str, str] | None = None,
) -> Path:
    """A bundle of the model; `text` overrides lines of native.txt."""
    entries = dict(compiled(proto, precision, target, groups).entries)
    for key, value in (text or {}).items():
        lines = entries["native.txt"].decode().splitlines()
        entries["native.txt"] = "\n".join(
            [line for line in lines if not line.startswith(f"{key}=")] + [f"{key}={value}"]
        ).encode()
    write_bundle(path, entries, {"partition": "rknn_0"})
    return path


def relu(shape: Sequence[int | str] = (1, 3, 4, 5)) -> onnx.ModelProto:
    """y = max(x, 0) in float32."""
    return model([helper.make_node("Relu", ["x"], ["y"])], [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)])


def pair(value: str, scale: str, zero: str, result: str) -> list[onnx.NodeProto]:
    """QuantizeLinear and DequantizeLinear."""
    return [
        helper.make_node("QuantizeLinear", [value, scale, zero], [f"{value}_q"]),
        helper.make_node("DequantizeLinear", [f"{value}_q", scale, zero], [result]),
    ]


def quantized_identity(shape: Sequence[int] = (1, 3, 4, 5), scale: float = 0.1, zero: int = 100) -> onnx.ModelProto:
    """x rounded to uint8 codes, moved through MaxPool 1x1, and back: input and output are codes on the device."""
    nodes = [
        *pair("x", "s", "z", "a"),
        helper.make_node("MaxPool", ["a"], ["b"], kernel_shape=[1, 1]),
        *pair("b", "s", "z", "y"),
    ]
    constants = {"s": np.float32(scale), "z": np.uint8(zero)}
    return model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)], constants)


def quantized_conv(
    weights: Array, bias: Array | None, x_scale: float, x_zero: int, w_scale: Array, y_scale: float, y_zero: int, size: int
) -> onnx.ModelProto:
    """A QDQ convolution: int8 weights [M,C,k,k], int32 bias, one weight scale per output channel."""
    channels, kernel = weights.shape[1], weights.shape[2]
    nodes = [
        *pair("x", "xs", "xz", "xd"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", *(["bd"] if bias is not None else [])], ["c"], kernel_shape=[kernel, kernel]),
        *pair("c", "ys", "yz", "y"),
    ]
    constants: dict[str, Any] = {
        "xs": np.asarray(x_scale, np.float32),
        "xz": np.asarray(x_zero, np.uint8),
        "w": weights,
        "ws": w_scale.astype(np.float32),
        "wz": np.zeros(len(weights), np.int8),
        "ys": np.asarray(y_scale, np.float32),
        "yz": np.asarray(y_zero, np.uint8),
    }
    if bias is not None:
        nodes.insert(2, helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"], axis=0))
        constants |= {"b": bias, "bs": (np.float32(x_scale) * w_scale.astype(np.float32)).astype(np.float32)}
    out = size - kernel + 1
    return model(
        nodes,
        [("x", TensorProto.FLOAT, [1, channels, size, size])],
        [("y", TensorProto.FLOAT, [1, len(weights), out, out])],
        constants,
    )
