"""The plugin's records and what the compiler refuses."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import CompileError
from rknn_ep.plugins import plugins
from rknn_ep.records import CompileRequest
from rknn_ep_simulator.unsigned import make_large_weights_unsigned
from tests.simulator import bundles


def test_the_simulator_is_the_device_that_auto_takes_off_board_and_compiles_for_every_bundle() -> None:
    runtime, compiler = plugins().runtimes()["simulator"], plugins().compilers()["simulator"]
    assert runtime.automatic > 0 and runtime.available() == ""
    assert runtime.library is not None and runtime.library().name == "librknnrt.so"
    assert compiler.devices == ("*",) and compiler.version


def test_the_description_says_what_the_device_sees() -> None:
    entries = bundles.compiled(bundles.quantized_identity(), "int8", "rk3576").entries
    text = NativeDescription.from_text(entries["native.txt"].decode())
    assert (text.target, text.precision, text.cores, text.copying_api) == ("rk3576", "int8", 2, True)
    assert (text.inputs[0].qtype, text.inputs[0].zero_point, np.float32(text.inputs[0].scale)) == ("INT8", -28, np.float32(0.1))
    assert text.outputs[0].qtype == "INT8"
    # The picture goes in as it is, 60 bytes; what the pool makes has its 3 channels rounded up to 16: 20 pixels of 16 bytes.
    assert text.internal_bytes == 60 + 320


def test_weights_count_in_the_types_of_the_device() -> None:
    proto = bundles.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, [1, 32])],
        [("y", TensorProto.FLOAT, [1, 16])],
        {"w": np.ones((32, 16), np.float32)},
    )
    text = NativeDescription.from_text(bundles.compiled(proto).entries["native.txt"].decode())
    assert text.weight_bytes == 32 * 16 * 2


def test_an_operator_that_onnx_cannot_infer_leaves_no_traceback_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 8, 8]) for name in "xy"]
    nodes = [helper.make_node("MeanVarianceNormalization", ["x"], ["m"]), helper.make_node("Relu", ["m"], ["y"])]
    graph = helper.make_graph(nodes, "test", ends[:1], ends[1:])
    entries = bundles.compiled(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])).entries
    assert caplog.records == []
    written = onnx.load_model_from_string(entries["simulation.onnx"]).graph
    [shape] = [value.type.tensor_type.shape for value in written.value_info if value.name == "m"]
    assert [dim.dim_value for dim in shape.dim] == [1, 4, 8, 8]


def test_a_declared_shape_that_onnx_would_infer_otherwise_stays() -> None:
    """The last window of ceil_mode would begin behind the tensor: one column for ONNX Runtime, two for onnx's inference."""
    attributes = {"kernel_shape": [1, 1], "strides": [2, 2], "ceil_mode": 1}
    nodes = [helper.make_node("MaxPool", ["x"], ["m"], **attributes), helper.make_node("Relu", ["m"], ["y"])]
    x, m, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, side, side])
        for name, side in zip("xmy", (2, 1, 1), strict=True)
    )
    proto = helper.make_model(
        helper.make_graph(nodes, "test", [x], [y], value_info=[m]), opset_imports=[helper.make_opsetid("", 17)]
    )
    written = onnx.load_model_from_string(bundles.compiled(proto).entries["simulation.onnx"]).graph
    shapes = {
        one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim] for one in (*written.value_info, *written.output)
    }
    assert shapes["m"] == shapes["y"] == [1, 1, 1, 1]


def test_equal_requests_give_equal_bytes() -> None:
    first, second = (bundles.compiled(bundles.quantized_identity(), "int8").entries for _ in range(2))
    assert first == second


def test_large_tensors_lie_aligned_outside_the_model_and_small_ones_inside() -> None:
    constants = {f"w{i}": np.full((300 + i, 3), i, np.float32) for i in range(3)} | {"small": np.ones(3, np.float32)}
    nodes = [helper.make_node("Concat", [*constants][:3], ["c"], axis=0), helper.make_node("Mul", ["c", "small"], ["m"])]
    nodes.append(helper.make_node("Add", ["m", "x"], ["y"]))
    proto = bundles.model(nodes, [("x", TensorProto.FLOAT, [3])], [("y", TensorProto.FLOAT, [903, 3])], constants)
    entries = bundles.compiled(proto).entries
    made = onnx.load_model_from_string(entries["simulation.onnx"])
    places = {}
    for tensor in made.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL:
            keys = {entry.key: entry.value for entry in tensor.external_data}
            assert keys["location"] == "simulation.data" and int(keys["offset"]) % 64 == 0
            data = entries["simulation.data"][int(keys["offset"]) :][: int(keys["length"])]
            places[tensor.name] = np.frombuffer(data, np.float32)
    assert sorted(places) == ["w0", "w1", "w2"]
    assert all((places[f"w{i}"] == i).all() for i in range(3))


def request(model: bytes) -> CompileRequest:
    return CompileRequest(model, plugins().target("rk3588"), "fp16", "rknn_7", (), {})


@pytest.mark.parametrize("model", [b"", b"not a model", bundles.relu().SerializeToString()[:40]])
def test_what_is_not_a_model_is_a_compile_error_that_names_the_partition(model: bytes) -> None:
    with pytest.raises(CompileError, match="rknn_7"):
        plugins().compilers()["simulator"].compile(request(model))


def test_an_operator_that_the_host_cannot_run_is_refused_while_compiling() -> None:
    proto = bundles.relu()
    proto.graph.node[0].op_type = "Conv"
    with pytest.raises(CompileError, match="rknn_7"):
        plugins().compilers()["simulator"].compile(request(proto.SerializeToString()))


def test_a_dynamic_shape_is_refused_by_name() -> None:
    proto = bundles.relu(("n", 3))
    with pytest.raises(CompileError, match="'x' has no static shape"):
        plugins().compilers()["simulator"].compile(request(proto.SerializeToString()))


def test_very_large_int8_weights_are_written_unsigned_with_the_same_values() -> None:
    rng = np.random.default_rng(0)
    weights = rng.integers(-127, 128, (8, 4, 3, 3)).astype(np.int8)
    bias = rng.integers(-999, 999, 8).astype(np.int32)
    proto = bundles.quantized_conv(weights, bias, 0.02, 100, np.full(8, 0.01), 0.1, 120, 6)
    model = ir.from_proto(proto)
    assert make_large_weights_unsigned(model) == 0
    assert make_large_weights_unsigned(model, large=0) == 1
    x = rng.uniform(-2, 2, (1, 4, 6, 6)).astype(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    first, second = (
        ort.InferenceSession(one.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
        for one in (proto, ir.to_proto(model))
    )
    np.testing.assert_array_equal(first, second)
    assert {value.const_value.dtype.name for value in model.graph.initializers.values() if "w" in value.name} >= {"UINT8"}
    assert "w" not in model.graph.initializers
