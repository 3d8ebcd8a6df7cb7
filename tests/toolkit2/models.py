"""Small models, among them those that the real compiler does not survive (each was tried)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, BOOL = TensorProto.FLOAT, TensorProto.BOOL
Tensors = Mapping[str, tuple[int, Sequence[int | None]]]


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Tensors,
    outputs: Tensors,
    constants: Mapping[str, Any] | None = None,
    opset: int = 17,
) -> bytes:
    """A serialised model; `inputs` and `outputs` are name -> (element type, shape)."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9).SerializeToString()


node = helper.make_node
PICTURE = (FLOAT, [1, 16, 32, 32])


def relu() -> bytes:
    """Compiles."""
    return model([node("Relu", ["x"], ["y"], name="relu")], {"x": PICTURE}, {"y": PICTURE})


def cubic_resize() -> bytes:
    """SIGSEGV."""
    resize = node("Resize", ["x", "", "scales"], ["y"], name="cubic", mode="cubic")
    return model([resize], {"x": PICTURE}, {"y": (FLOAT, [1, 16, 64, 64])}, {"scales": np.array([1, 1, 2, 2], np.float32)})


def pool_3d() -> bytes:
    """SIGABRT from the native compiler."""
    pool = node("MaxPool", ["x"], ["y"], name="pool3d", kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    return model([pool], {"x": (FLOAT, [1, 4, 8, 16, 16])}, {"y": (FLOAT, [1, 4, 4, 8, 8])})


def boolean_or() -> bytes:
    """SIGABRT when it is quantised."""
    return model([node("Or", ["a", "b"], ["y"], name="or")], {"a": (BOOL, [1, 16]), "b": (BOOL, [1, 16])}, {"y": (BOOL, [1, 16])})


def non_zero() -> bytes:
    """ValueError that names the node."""
    return model([node("NonZero", ["x"], ["y"], name="nz")], {"x": (FLOAT, [1, 16])}, {"y": (TensorProto.INT64, [2, None])})


def layer_normalization_3d() -> bytes:
    """ValueError around a KeyError of the toolkit's own."""
    normalize = node("LayerNormalization", ["x", "s", "b"], ["y"], name="norm")
    shape = (FLOAT, [1, 8, 64])
    return model([normalize], {"x": shape}, {"y": shape}, {"s": np.ones(64, np.float32), "b": np.zeros(64, np.float32)})


def opset_20() -> bytes:
    """ValueError: 19 is the newest."""
    return model([node("Gelu", ["x"], ["y"], name="gelu")], {"x": PICTURE}, {"y": PICTURE}, opset=20)
