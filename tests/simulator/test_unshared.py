"""Products that share weights or zero points: every processor loads them, and computes the same."""

from __future__ import annotations

import ctypes
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.simulator import bundles
from tests.simulator.driver import Context

SHAPE = (1, 8, 6, 6)


def shared(what: str) -> onnx.ModelProto:
    """Two convolutions that share a zero point, the codes, or all of their DequantizeLinear, which may leave the partition too.

    Codes beyond +-64 may saturate: only such weights are rewritten by ONNX Runtime.
    """
    first, second = "w_d", "w_d" if what in ("all", "output") else "v_d"
    weights = (np.eye(8) * 140 - 40).astype(np.int8)[:, :, None, None]
    constants: dict[str, Any] = {
        "x_s": np.float32(0.02), "x_z": np.uint8(120), "w": weights, "w_s": np.float32(0.01), "zero": np.int8(0),
        "y_s": np.float32(0.05), "y_z": np.uint8(120),
    }  # fmt: skip
    nodes = [*bundles.pair("x", "x_s", "x_z", "x_d"), helper.make_node("DequantizeLinear", ["w", "w_s", "zero"], [first])]
    if what == "codes":
        constants["other"] = np.int8(0)
        nodes.append(helper.make_node("DequantizeLinear", ["w", "w_s", "other"], [second]))
    elif what == "zero point":
        constants["v"] = -weights
        nodes.append(helper.make_node("DequantizeLinear", ["v", "w_s", "zero"], [second]))
    nodes += [
        helper.make_node("Conv", ["x_d", first], ["a"]),
        *bundles.pair("a", "y_s", "y_z", "a_d"),
        helper.make_node("Conv", ["a_d", second], ["b"]),
        *bundles.pair("b", "y_s", "y_z", "y"),
    ]
    outputs = [("y", TensorProto.FLOAT, SHAPE)] + [("w_d", TensorProto.FLOAT, weights.shape)] * (what == "output")
    return bundles.model(nodes, [("x", TensorProto.FLOAT, SHAPE)], outputs, constants)


@pytest.mark.parametrize("what", ["zero point", "codes", "all", "output"])
def test_products_that_share_weights_run(library: ctypes.CDLL, tmp_path: Path, what: str) -> None:
    path = bundles.bundle(tmp_path / "shared.rknnctx", shared(what), "int8", groups=[("a",), ("b",)])
    x = np.random.default_rng(0).uniform(-2.4, 2.6, SHAPE).astype(np.float32)
    results = []
    for options in ("simulation=fast", "simulation=exact"):
        with Context(library, path, options=options) as context:
            results.append(context(x)[0])
    assert len(np.unique(results[0])) > 20
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("what", ["zero point", "codes", "all"])
def test_no_two_products_read_the_same_int8_constant(what: str) -> None:
    """ONNX Runtime fails on them where its kernels would saturate, which not every processor shows."""
    model = onnx.load_model_from_string(bundles.compiled(shared(what), "int8").entries["simulation.onnx"])
    constants = {tensor.name for tensor in model.graph.initializer if tensor.data_type == TensorProto.INT8}
    reads = Counter(name for node in model.graph.node for name in node.input if name in constants)
    readers = Counter(name for node in model.graph.node if node.op_type == "Conv" for name in node.input)
    assert reads and set(reads.values()) == {1}
    assert all(readers[node.output[0]] == 1 for node in model.graph.node if node.input[0] in constants)
