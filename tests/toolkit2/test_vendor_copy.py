"""The copy that the toolkit gets computes what the partition computes. No toolkit is needed to see it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from rknn_ep.errors import CompileError
from rknn_ep_toolkit2.lowering import lower
from rknn_ep_toolkit2.vendor_copy import vendor_copy
from rknn_ep_toolkit2.weights import _moved, keep_scales
from tests.toolkit2.networks import Net, requests, samples, with_simulation


def run(model: bytes, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    settings.log_severity_level = 3
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"]).run(None, dict(feeds))


@given(
    arrays.arrays(np.int8, st.tuples(st.integers(1, 4), st.integers(1, 3)), elements=st.integers(-128, 127)),
    st.integers(0, 1),
    st.booleans(),
)
def test_a_moved_channel_has_the_same_real_values(codes: np.ndarray, axis: int, per_channel: bool) -> None:
    zeros = np.zeros(codes.shape[axis] if per_channel else (), np.int8)
    moved = _moved(codes, zeros, axis)
    if moved is None:
        return
    new, zero = moved
    shape = [1, 1]
    if per_channel:
        shape[axis] = -1
    assert np.array_equal(new.astype(int) - zero.astype(int).reshape(shape if per_channel else ()), codes)
    assert np.count_nonzero(zero) == 1


def test_a_weight_that_uses_every_code_everywhere_is_named() -> None:
    every = np.arange(-128, 128, dtype=np.int16).astype(np.int8).reshape(1, 256)
    nodes = [helper.make_node("DequantizeLinear", ["w", "s"], ["real"], axis=0)]
    graph = helper.make_graph(
        nodes,
        "g",
        [],
        [helper.make_tensor_value_info("real", TensorProto.FLOAT, [1, 256])],
        [onnx.numpy_helper.from_array(every, "w"), onnx.numpy_helper.from_array(np.ones(1, np.float32), "s")],
    )
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))
    assert keep_scales(model) == ("w",)


def test_the_copy_of_a_quantised_network_computes_the_same(tmp_path: Path) -> None:
    net = Net((1, 8, 16, 16))
    a = net.add("Relu", net.conv("x", 8, 16))
    b = net.add("Reshape", a, net.given(np.array([1, 16, 256], np.int64)))
    c = net.add("Transpose", b, perm=[0, 2, 1])
    d = net.add("Add", net.add("MatMul", c, net.constant(16, 24)), net.constant(24))
    (request,) = requests(net.model(net.add("Relu", d)), tmp_path, net.shape)
    copy = vendor_copy(request.model, "copy")
    assert copy.quantized and copy.notes["gemms"]
    zeros = [init for init in onnx.load_model_from_string(copy.content).graph.initializer if init.name.endswith("_kept_zero")]
    assert len(zeros) == 2 and all(onnx.numpy_helper.to_array(zero).any() for zero in zeros)
    for x in samples(net.shape, 3):
        (ours,), (theirs,) = run(request.model, {"x": x}), run(copy.content, {"x": x})
        # Gemm sums in another order than MatMul, in float32: where a value lies on the border of two codes, it may be the other.
        step = copy.parameters[onnx.load_model_from_string(copy.content).graph.output[0].name][0]
        assert np.mean(ours == theirs) > 0.999 and np.abs(ours - theirs).max() <= 1.01 * step


def test_the_simulation_of_a_bundle_gives_the_same_copy(tmp_path: Path) -> None:
    """What `device=toolkit2` and `verify` build is what the compiler built."""
    from rknn_ep_toolkit2.device import join

    net = Net((1, 8, 16, 16))
    scores = net.add("Softmax", net.add("Reshape", net.conv("x", 8, 4), net.given(np.array([4, 256], np.int64))), axis=-1)
    (request,) = requests(net.model(scores), tmp_path, net.shape)
    entries = with_simulation(request).entries
    ours, theirs = vendor_copy(request.model, "a"), vendor_copy(join(entries["simulation.onnx"], entries["simulation.data"]), "b")
    assert "Cast" in [node.op_type for node in onnx.load_model_from_string(entries["simulation.onnx"]).graph.node]
    assert "Cast" not in [node.op_type for node in onnx.load_model_from_string(theirs.content).graph.node]
    assert ours.parameters == theirs.parameters
    x = samples(net.shape, 1)[0]
    assert np.array_equal(run(ours.content, {"x": x})[0], run(theirs.content, {"x": x})[0])


@pytest.mark.parametrize("opset", [9, 20])
def test_an_opset_that_the_toolkit_does_not_read_is_an_error(opset: int) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    with pytest.raises(CompileError, match=f"has opset {opset}.*10 to 19"):
        vendor_copy(model.SerializeToString(), "rknn_0")


def test_what_is_no_model_is_an_error() -> None:
    with pytest.raises(CompileError, match="rknn_0 is not a valid ONNX model"):
        vendor_copy(b"\x0a\xff\xff", "rknn_0")


X = (2, 6, 8, 8)
TWOS = np.full(3, 2, np.float32)
CASES: dict[str, tuple[str, dict[str, Any], list[Any], int]] = {
    "Selu": ("Selu", {}, [], 17),
    "Celu": ("Celu", {"alpha": 0.7}, [], 17),
    "Softsign": ("Softsign", {}, [], 17),
    "Mean": ("Mean", {}, ["x", "x2"], 17),
    "Min": ("Min", {}, ["x", "x2"], 17),
    "Min with a number": ("Min", {}, ["x", np.float32(0.3)], 17),
    "Max with a number": ("Max", {}, [np.array([0.1], np.float32), "x"], 17),
    "Mish": ("Mish", {}, [], 18),
    "Shrink": ("Shrink", {"bias": 0.4, "lambd": 0.4}, [], 17),
    "PRelu": ("PRelu", {}, ["x", "x2"], 17),
    "ReduceL1": ("ReduceL1", {"axes": [2, 3]}, [], 17),
    "ReduceSumSquare 18": ("ReduceSumSquare", {"keepdims": 0}, ["x", np.array([1], np.int64)], 18),
    "ReduceL1 of all": ("ReduceL1", {}, [], 17),
    "AveragePool": ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 0, 1], "strides": [2, 1]}, [], 17),
    "AveragePool padded in rows": ("AveragePool", {"kernel_shape": [1, 3], "pads": [0, 1, 0, 1]}, [], 17),
    "AveragePool padded above": ("AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 0, 0]}, [], 17),
    "LpPool": ("LpPool", {"kernel_shape": [2, 2], "p": 2, "strides": [2, 2]}, [], 18),
    "SpaceToDepth": ("SpaceToDepth", {"blocksize": 2}, [], 17),
    "BatchNormalization": ("BatchNormalization", {}, ["x", "c", "c", "c", "v"], 17),
    "InstanceNormalization": ("InstanceNormalization", {"epsilon": 1e-3}, ["x", "c", "c"], 17),
    "GroupNormalization": ("GroupNormalization", {"num_groups": 3}, ["x", TWOS, TWOS / 2], 18),
    "LayerNormalization": ("LayerNormalization", {}, ["x", np.ones(8, np.float32)], 17),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_written_as_others_computes_the_same(name: str) -> None:
    op_type, attributes, operands, opset = CASES[name]
    inputs, constants = [], []
    for index, operand in enumerate(operands or ["x"]):
        if not isinstance(operand, str):
            constants.append(onnx.numpy_helper.from_array(np.asarray(operand), f"constant{index}"))
        inputs.append(operand if isinstance(operand, str) else f"constant{index}")
    shapes = {"x": X, "x2": X, "c": (6,), "v": (6,)}
    used = [key for key in shapes if key in inputs]
    graph = helper.make_graph(
        [helper.make_node(op_type, inputs, ["y"], "node", **attributes)],
        "g",
        [helper.make_tensor_value_info(key, TensorProto.FLOAT, shapes[key]) for key in used],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    proto = onnx.shape_inference.infer_shapes(proto)
    model = ir.from_proto(proto)
    done = lower(model)
    assert len(done) == 1 and done[0].startswith(f"{op_type} 'node' as ")
    random = np.random.default_rng(0)
    feeds = {key: random.normal(0, 1, shapes[key]).astype(np.float32) for key in used}
    feeds = {key: np.abs(value) + 0.5 if key == "v" else value for key, value in feeds.items()}
    (wanted,) = ReferenceEvaluator(proto).run(None, feeds)
    (got,) = run(ir.to_proto(model).SerializeToString(), feeds)
    # float32, some ten operations one after another.
    assert np.allclose(got, wanted, rtol=1e-4, atol=1e-5)
    kinds = {node.op_type for node in model.graph}
    assert op_type not in kinds or op_type in ("InstanceNormalization", "LayerNormalization", "AveragePool")


def test_blocks_of_codes_are_picked_by_integers(tmp_path: Path) -> None:
    """A float weight would make it a float16 convolution, which SoCs without float16 refuse."""
    net = Net((1, 3, 8, 8))
    blocks = net.add("SpaceToDepth", net.conv("x", 3, 4), blocksize=2)
    (request,) = requests(net.model(net.conv(blocks, 16, 8)), tmp_path, net.shape)
    model = ir.from_proto(onnx.load_model_from_string(vendor_copy(request.model, "p").content))
    weights = [node.inputs[1] for node in model.graph if node.op_type == "Conv"]
    assert len(weights) == 3
    for weight in weights:
        made = weight.producer() if weight is not None else None
        assert made is not None and made.op_type == "DequantizeLinear"


def test_what_need_not_be_rewritten_stays() -> None:
    net = Net((1, 4, 8, 8))
    net.add("PRelu", net.add("AveragePool", "x", kernel_shape=[2, 2]), net.constant(4, 1, 1))
    assert lower(ir.from_proto(onnx.load_model_from_string(net.model("prelu1_out")))) == ()


def test_a_tensor_that_leaves_the_model_is_not_made_an_output_twice(tmp_path: Path) -> None:
    from rknn_ep_toolkit2.segments import expose, find_cuts

    net = Net((1, 16, 8, 8))
    a = net.conv("x", 16, 16)
    b = net.conv(net.add("Sigmoid", a), 16, 16)
    (request,) = requests(net.model(a, b), tmp_path, net.shape)
    model = ir.from_proto(onnx.load_model_from_string(vendor_copy(request.model, "p").content))
    outputs = [value.name for value in model.graph.outputs]
    stored = {value.name or "" for node in model.graph for value in node.outputs}
    cuts = find_cuts(model, stored)
    assert {cut.seen for cut in cuts} >= set(outputs)
    seen = expose(model, cuts)
    names = [value.name for value in seen.graph.outputs]
    assert len(names) == len(set(names)) and set(names) == {*outputs, *(cut.seen for cut in cuts)}
    x = samples(net.shape, 1)[0]
    plain, given = run(ir.to_proto(model).SerializeToString(), {"x": x}), run(ir.to_proto(seen).SerializeToString(), {"x": x})
    for name, value in zip(outputs, plain, strict=True):
        np.testing.assert_array_equal(given[names.index(name)], value)


def test_a_part_is_computed_from_the_codes_that_feed_it_alone(tmp_path: Path) -> None:
    from rknn_ep_toolkit2.segments import FED, find_cuts, sources, take_apart

    net = Net((1, 16, 8, 8))
    a = net.conv("x", 16, 16)
    b = net.conv(net.add("Sigmoid", a), 16, 16)
    (request,) = requests(net.model(net.add("Add", a, b)), tmp_path, net.shape)
    model = ir.from_proto(onnx.load_model_from_string(vendor_copy(request.model, "p").content))
    inputs = {value.name for value in model.graph.inputs}
    cuts = [
        cut
        for cut in find_cuts(model, {value.name or "" for node in model.graph for value in node.outputs})
        if cut.tensor not in inputs
    ]
    conv, sigmoid, second, total = cuts
    assert sources(model, cuts, [total]) == (conv, second)
    assert sources(model, cuts, [second]) == (sigmoid,)
    assert sources(model, [conv, second, total], [second, total]) == (conv, second)  # over what is not known
    x = samples(net.shape, 1)[0]
    codes = dict(zip(cuts, run(ir.to_proto(take_apart(model, [], cuts)).SerializeToString(), {"x": x}), strict=True))
    alone = take_apart(model, [conv, second], [total])
    given = {"x": x, f"{conv.codes}{FED}": codes[conv], f"{second.codes}{FED}": codes[second]}
    assert not any(node.op_type == "Conv" for node in alone.graph)
    np.testing.assert_array_equal(run(ir.to_proto(alone).SerializeToString(), given)[0], codes[total])
