"""`from_onnx`: what it gives, and what it says to bad input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import rknn_ep
import rknn_ep_tvm
from rknn_ep.errors import ModelError, OptionError, ShapeError
from tests.tvm.harness import SMALL, compiled, imported, network, random, run, samples, through_onnxruntime


def test_partition_and_remainder_give_what_onnxruntime_gives(tmp_path: Path) -> None:
    mod, report = imported(network(), calibration=samples(tmp_path))
    assert [part.name for part in report.partitions] == ["rknn_0"]
    (expected,), _ = through_onnxruntime(network(), tmp_path, random(), target="rk3588", calibration=samples(tmp_path), **SMALL)
    np.testing.assert_array_equal(run(compiled(mod), random())[0], expected)


def test_default_pipeline_runs_it_too(tmp_path: Path) -> None:
    import tvm

    mod, _ = imported(network(), calibration=samples(tmp_path))
    mine, stock = run(compiled(mod), random()), run(tvm.compile(mod, target="llvm"), random())
    np.testing.assert_array_equal(mine[0], stock[0])


def test_report_is_that_of_partition(tmp_path: Path) -> None:
    mod, report = imported(network(), calibration=samples(tmp_path))
    alone = rknn_ep.partition(network().SerializeToString(), target="rk3588", calibration=samples(tmp_path), **SMALL)
    assert report.verdicts == alone.verdicts and report.partitions == alone.partitions
    (entry,) = report.rejected
    assert (entry.op_type, entry.reason) == ("Mod", "native_cpu")  # the vendor would compute it on its CPU side
    assert list(rknn_ep_tvm.bundles(mod)) == ["rknn_0"]


def test_float_model_without_calibration() -> None:
    mod, report = imported(network(cpu_end=False))
    assert report.precision == "fp16"
    assert run(compiled(mod), random())[0].shape == (1, 8, 16, 16)


def test_model_with_nothing_for_the_npu() -> None:
    mod, report = imported(network(), exclude_ops="Conv,Relu")
    assert not report.partitions and not rknn_ep_tvm.bundles(mod)
    assert run(compiled(mod), random())[0].shape == (1, 8, 16, 16)


def test_several_inputs_outputs_and_types() -> None:
    nodes = [
        helper.make_node("Add", ["a", "b"], ["s"], name="add"),
        helper.make_node("Conv", ["s", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node("ArgMax", ["r"], ["i"], name="argmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "several",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 16, 16)) for name in "ab"],
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, (1, 1, 16, 16)),
            helper.make_tensor_value_info("c", TensorProto.FLOAT, (1, 8, 16, 16)),
        ],
        [onnx.numpy_helper.from_array(random((8, 3, 3, 3)), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    mod, _ = imported(model)
    indices, values = run(compiled(mod), random(seed=1), random(seed=2))
    assert indices.dtype == np.int64 and values.dtype == np.float32
    np.testing.assert_array_equal(indices, values.clip(0).argmax(1)[:, None])


def test_open_dimension_is_named_with_the_way_to_bind_it() -> None:
    with pytest.raises(ShapeError, match=r"(?s)dimension 0 \('batch'\) of input 'x'.*input_shapes=.*batch=1"):
        imported(network(dynamic=True))
    mod, _ = imported(network(dynamic=True), input_shapes="batch=1")
    assert run(compiled(mod), random())[0].shape == (1, 8, 16, 16)


def test_operator_that_tvm_lacks_is_named() -> None:
    model = network()
    model.graph.node[2].CopyFrom(helper.make_node("Bernoulli", ["r"], ["y"], name="dice"))
    with pytest.raises(ModelError, match=r"(?s)Bernoulli 'dice' runs on the CPU, and TVM.*no converter.*rknn-ep partition"):
        imported(model)


@pytest.mark.parametrize(
    ("operator", "attributes", "constants", "shape", "why"),
    [
        ("Conv", {}, {"w": np.ones((1, 1, 2, 2, 2, 2), np.float32)}, (1, 1, 4, 4, 4, 4), "Ndim > 5"),  # NotImplementedError
        ("CumSum", {}, {}, (2, 3), "non-constant axis"),  # ValueError
        (
            "Resize",
            {"mode": "nearest"},
            {"r": np.float32([]), "s": np.float32([2, 2])},
            (4, 4),
            "Only resize1d",
        ),  # AssertionError
    ],
)
def test_what_a_converter_of_tvm_cannot_convert_is_named(
    operator: str, attributes: dict[str, str], constants: dict[str, np.ndarray[Any, Any]], shape: tuple[int, ...], why: str
) -> None:
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if not constants:
        inputs.append(helper.make_tensor_value_info("axis", TensorProto.INT64, ()))
    graph = helper.make_graph(
        [helper.make_node(operator, ["x", *(constants or ["axis"])], ["y"], name="odd", **attributes)],
        "odd",
        inputs,
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(ModelError, match=rf"(?s){operator} 'odd' runs on the CPU, and TVM.*cannot convert it: .*{why}"):
        imported(onnx.shape_inference.infer_shapes(model), exclude_ops=operator)


@pytest.mark.parametrize("target", ["rockchip/rk3589", "rk9-sim"])
def test_unknown_target_names_the_nearest(target: str) -> None:
    with pytest.raises(OptionError, match=r"there is no target 'rockchip/.*Valid: "):
        imported(network(), target=target)


def test_a_path_and_bytes_are_taken_too(tmp_path: Path) -> None:
    onnx.save(network(), tmp_path / "model.onnx")
    for model in (tmp_path / "model.onnx", str(tmp_path / "model.onnx"), network().SerializeToString()):
        assert imported(model, target="rk3588").report.partitions
