"""The passes that rewrite a partition leave types and names alone, whatever a model calls its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from rknn_ep_toolkit2.device import join
from tests.simulator import bundles

node = helper.make_node
F32 = TensorProto.FLOAT
Array = np.ndarray[Any, Any]
WEIGHTS = (np.eye(8) * 140 - 40).astype(np.int8)
CONSTANTS: dict[str, Any] = {
    "s": np.float32(0.03), "z": np.uint8(120), "w": WEIGHTS, "w_s": np.float32(0.01), "w_z": np.int8(0),
}  # fmt: skip
WEIGHT = node("DequantizeLinear", ["w", "w_s", "w_z"], ["wd"])


def rounded(value: str, result: str) -> list[onnx.NodeProto]:
    return bundles.pair(value, "s", "z", result)


def built(
    nodes: list[onnx.NodeProto], inputs: dict[str, list[int]], outputs: list[str], constants: dict[str, Any], kind: int = F32
) -> onnx.ModelProto:
    """A model whose output shapes are inferred."""

    def model(values: Any) -> onnx.ModelProto:
        given = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
        held = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
        graph = helper.make_graph(nodes, "partition", given, values, held)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    open_ended = model([helper.make_tensor_value_info(name, kind, None) for name in outputs])
    return model(list(onnx.shape_inference.infer_shapes(open_ended, data_prop=True).graph.output))


def results(model: bytes, feeds: dict[str, Array]) -> dict[str, Array]:
    settings = onnxruntime.SessionOptions()
    settings.add_session_config_entry("session.x64quantprecision", "1")  # as the simulator has it
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True))


def simulated(proto: onnx.ModelProto, precision: str, feeds: dict[str, Array]) -> dict[str, Array]:
    entries = bundles.compiled(proto, precision).entries
    return results(join(entries["simulation.onnx"], entries["simulation.data"]), feeds)


@pytest.mark.parametrize("dtype", [np.int32, np.float16, np.float64])
def test_a_quotient_that_is_not_float32_stays_one(dtype: Any) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [node("MatMul", ["a", "b"], ["m"]), node("Div", ["m", "c"], ["y"])]
    proto = built(nodes, {"a": [1, 4, 8], "b": [1, 8, 4]}, ["y"], {"c": np.asarray(3, dtype)}, kind)
    draw = np.random.default_rng(0)
    feeds = {name: draw.integers(-9, 9, shape).astype(dtype) for name, shape in (("a", (1, 4, 8)), ("b", (1, 8, 4)))}
    np.testing.assert_array_equal(
        simulated(proto, "fp16", feeds)["y"], results(proto.SerializeToString(), feeds)["y"], strict=True
    )


def test_a_normalisation_of_float16_values_stays_one_operator() -> None:
    constants = {name: np.arange(1, 5).astype(np.float16) for name in ("g", "b")}
    nodes = [node("InstanceNormalization", ["x", "g", "b"], ["y"])]
    proto = built(nodes, {"x": [1, 4, 5, 6]}, ["y"], constants, TensorProto.FLOAT16)
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 4, 5, 6)).astype(np.float16)}
    np.testing.assert_array_equal(simulated(proto, "fp16", feeds)["y"], results(proto.SerializeToString(), feeds)["y"])


def test_names_that_a_rewriting_would_take_may_be_the_models_own() -> None:
    nodes = [
        node("MatMul", ["a", "b"], ["m"]),
        node("Div", ["m", "c"], ["y"]),
        node("MatMul", ["b", "a"], ["n"]),
        node("Div", ["n", "c"], ["y_factor"]),
        node("InstanceNormalization", ["b", "g", "g"], ["u"]),
        node("Relu", ["a"], ["u_plain"]),
    ]
    constants = {"c": np.float32(4), "g": np.linspace(0.5, 2, 8).astype(np.float32)}
    proto = built(nodes, {"a": [1, 4, 8], "b": [1, 8, 4]}, ["y", "y_factor", "u", "u_plain"], constants)
    draw = np.random.default_rng(0)
    feeds = {name: draw.standard_normal(shape).astype(np.float32) for name, shape in (("a", (1, 4, 8)), ("b", (1, 8, 4)))}
    found, wanted = simulated(proto, "fp16", feeds), results(proto.SerializeToString(), feeds)
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():  # operands, sums and factors are float16: a few steps
        np.testing.assert_allclose(found[name], array, rtol=2**-8, atol=2**-7)


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        pytest.param(
            [
                WEIGHT,
                node("MatMul", ["xd", "wd"], ["a"]),
                *rounded("a", "y"),
                node("Add", ["wd", "wd"], ["b"]),
                *rounded("b", "v"),
            ],
            ["y", "v"],
            id="twice by one node",
        ),
        pytest.param(
            [
                WEIGHT,
                node("MatMul", ["xd", "wd"], ["m"]),
                *rounded("m", "md"),
                node("MatMul", ["md", "wd"], ["n"]),
                *rounded("n", "wd_for_n"),
                node("MatMul", ["wd_for_n", "wd"], ["k"]),
                *rounded("k", "y"),
            ],
            ["y"],
            id="beside a value of the copy's name",
        ),
        pytest.param(
            [
                node("DequantizeLinear", ["w", "w_s", "w_z"], ["first"]),
                WEIGHT,
                node("Gemm", ["xd", "first"], ["g"]),
                *rounded("g", "gd"),
                node("MatMul", ["gd", "wd"], ["m"]),
                *rounded("m", "y"),
            ],
            ["y", "wd"],
            id="dequantised again, and that leaves",
        ),
        pytest.param(
            [
                node("Gather", ["w", "rows"], ["some"]),
                node("DequantizeLinear", ["some", "w_s", "w_z"], ["g"]),
                WEIGHT,
                node("MatMul", ["xd", "wd"], ["m"]),
                *rounded("m", "md"),
                node("Add", ["md", "g"], ["b"]),
                *rounded("b", "y"),
            ],
            ["y"],
            id="as codes too",
        ),
    ],
)
def test_shared_weights_load_however_they_are_read(nodes: list[onnx.NodeProto], outputs: list[str]) -> None:
    used = {name for one in nodes for name in one.input}
    constants = CONSTANTS | ({"rows": np.array([1])} if "rows" in used else {})
    proto = built([*rounded("x", "xd"), *nodes], {"x": [1, 8]}, outputs, constants)
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 8)).astype(np.float32)}
    plain = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    for name, wanted in zip(outputs, plain, strict=True):
        # A code where a rounding falls the other way, carried through up to two more products.
        np.testing.assert_allclose(simulated(proto, "int8", feeds)[name], wanted, atol=3 * 0.03)
