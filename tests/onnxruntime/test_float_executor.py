"""The float executor: inner values come out as they are, whatever the optimiser would like to fuse."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from rknn_ep.errors import ModelError
from rknn_ep.plugins import plugins
from tests.onnxruntime.harness import make_model


def conv_and_relu() -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32)
    return make_model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("Sin", ["r"], ["y"]),
        ],
        {"x": [1, 3, 8, 8]},
        {"y": [1, 8, 6, 6]},
        [numpy_helper.from_array(weights, "w")],
    )


def test_it_is_a_plugin_of_the_registry():
    assert plugins().float_executors()["onnxruntime"].available() == ""


def test_inner_values_and_inputs_are_given_in_the_order_asked_for():
    create = plugins().float_executors()["onnxruntime"].create
    model = create(conv_and_relu().SerializeToString(), ["r", "x", "c"], 1)
    x = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    found = dict(model.run({"x": x}))
    assert set(found) == {"r", "x", "c"}
    assert found["x"] is x
    np.testing.assert_array_equal(found["r"], np.maximum(found["c"], 0))
    assert (found["c"] < 0).any()


def test_running_again_gives_the_same():
    create = plugins().float_executors()["onnxruntime"].create
    model = create(conv_and_relu().SerializeToString(), ["y"], 1)
    x = np.ones((1, 3, 8, 8), np.float32)
    first, second = dict(model.run({"x": x})), dict(model.run({"x": x}))
    np.testing.assert_array_equal(first["y"], second["y"])


def test_an_unknown_value_is_named():
    create = plugins().float_executors()["onnxruntime"].create
    with pytest.raises(ModelError, match="no value 'q'"):
        create(conv_and_relu().SerializeToString(), ["q"], 1)


def test_a_model_that_onnxruntime_refuses_is_an_error_of_ours():
    create = plugins().float_executors()["onnxruntime"].create
    model = make_model([helper.make_node("Conv", ["x"], ["y"])], {"x": [1, 3, 8, 8]}, {"y": [1, 8, 6, 6]})
    with pytest.raises(ModelError, match="ONNX Runtime cannot run the float model"):
        create(model.SerializeToString(), ["y"], 1)


def test_values_of_any_type_come_out():
    model = make_model(
        [helper.make_node("Shape", ["x"], ["s"]), helper.make_node("Sin", ["x"], ["y"])], {"x": [2, 3]}, {"y": [2, 3]}
    )
    model.graph.value_info.append(helper.make_tensor_value_info("s", TensorProto.INT64, [2]))
    found = dict(
        plugins()
        .float_executors()["onnxruntime"]
        .create(model.SerializeToString(), ["s"], 1)
        .run({"x": np.ones((2, 3), np.float32)})
    )
    assert found["s"].tolist() == [2, 3]
