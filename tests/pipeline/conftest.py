"""A small convolutional model, its calibration data, and a cache of its own for every test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    cache = tmp_path / "cache"
    monkeypatch.setenv("RKNN_EP_CACHE_DIR", str(cache))
    return cache


def small_model(batch: int | str = 1, size: int | str = 32, *, with_cpu_node: bool = False) -> onnx.ModelProto:
    """Conv-Relu-Conv-Add-GlobalAveragePool-Gemm on [batch,3,size,size], 10 outputs; optionally a NonZero behind it."""
    random = np.random.default_rng(7)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        fan_in = int(np.prod(shape[1:]))
        return numpy_helper.from_array(random.normal(0, fan_in**-0.5, shape).astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["x", "w0", "b0"], ["c0"], "first", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c0"], ["r0"], "relu"),
        helper.make_node("Conv", ["r0", "w1", "b1"], ["c1"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "r0"], ["s"], "sum"),
        helper.make_node("GlobalAveragePool", ["s"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "w2", "b2"], ["y"], "classify", transB=1),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 10])]
    if with_cpu_node:
        nodes.append(helper.make_node("NonZero", ["y"], ["n"], "nonzero"))
        outputs.append(helper.make_tensor_value_info("n", TensorProto.INT64, [2, "found"]))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, size, size])],
        outputs,
        [
            weight("w0", 16, 3, 3, 3),
            weight("b0", 16),
            weight("w1", 16, 16, 3, 3),
            weight("b1", 16),
            weight("w2", 10, 16),
            weight("b2", 10),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(small_model(), path)
    return path


@pytest.fixture
def calibration(tmp_path: Path) -> Path:
    path = tmp_path / "samples.npz"
    np.savez(path, x=np.random.default_rng(1).normal(0, 1, (24, 3, 32, 32)).astype(np.float32))
    return path


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(2).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
