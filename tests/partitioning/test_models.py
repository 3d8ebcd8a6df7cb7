"""Real models: how much of them the NPU gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from rknn_ep.graph import View, load_model, normalize
from rknn_ep.partitioning.partitioner import Plan, plan
from rknn_ep.partitioning.plan_report import describe
from rknn_ep.records import Outcome
from tests import models
from tests.partitioning.helpers import TARGETS
from tests.partitioning.helpers import build as build_model
from tests.partitioning.helpers import node as make_node

Shapes = Mapping[str, Sequence[int]]

NETWORKS: dict[str, tuple[Callable[[], Path], Shapes, int]] = {
    "det": (models.ppocr_det, {"x": (1, 3, 480, 480)}, 1),
    "rec": (models.ppocr_rec, {"x": (1, 3, 48, 320)}, 1),
    "cls": (models.ppocr_cls, {"x": (1, 3, 48, 192)}, 1),
    "efficientnet": (models.efficientnet_lite0, {}, 1),
    "minilm": (models.minilm, {}, 1),
}


def view(path: Path, shapes: Shapes) -> View:
    return normalize(load_model(path), input_shapes=shapes)


@pytest.mark.models
@pytest.mark.parametrize("precision", ["int8", "fp16"])
@pytest.mark.parametrize("name", NETWORKS)
def test_nearly_all_the_work_is_on_the_npu_of_rk3588(name: str, precision: str) -> None:
    fetch, shapes, partitions = NETWORKS[name]
    made = plan(view(fetch(), shapes), TARGETS["rk3588"], precision)
    report = describe(made)
    assert report.macs.npu_share >= 0.95
    assert len(made.partitions) <= partitions
    assert len(made.verdicts) == len(made.view.nodes)
    assert all(verdict.source for verdict in made.verdicts)


@pytest.mark.models
@pytest.mark.parametrize("soc", TARGETS)
def test_text_detection_is_one_partition_everywhere(soc: str) -> None:
    fetch, shapes, _ = NETWORKS["det"]
    precision = "fp16" if soc == "rk2118" else "int8"  # its compiler dies of every quantised convolution
    made = plan(view(fetch(), shapes), TARGETS[soc], precision)
    assert len(made.partitions) == 1
    assert describe(made).macs.npu_share >= 0.95


@pytest.mark.models
def test_softmax_and_transpose_are_the_cpu_sides_on_rk3566() -> None:
    fetch, shapes, _ = NETWORKS["rec"]
    report = describe(plan(view(fetch(), shapes), TARGETS["rk3566"], "fp16"))
    beside = {entry.op_type for entry in report.verdicts if entry.where == "native_cpu"}
    assert {"Softmax", "Transpose"} <= beside
    assert report.nodes.npu_share < report.nodes.inside_share
    assert report.macs.npu_share >= 0.95


@pytest.mark.models
def test_control_flow_stays_with_the_runtime() -> None:
    shapes = {"input": (1, 576), "state": (2, 1, 128)}
    made = plan(view(models.silero_vad(), shapes), TARGETS["rk3588"], "fp16", min_partition_macs=0)
    flow = [index for index, item in enumerate(made.view.nodes) if item.facts.op_type == "If"]
    assert flow
    assert {made.verdicts[index].reason for index in flow} == {"control-flow"}
    assert made.partitions


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Four arrays of noise: the scales do not matter here, only what a quantised graph looks like."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._left = [{"x": rng.random((1, 3, 16, 16), np.float32)} for _ in range(4)]

    def get_next(self) -> dict[str, np.ndarray] | None:
        return self._left.pop() if self._left else None


def _small_network() -> onnx.ModelProto:
    rng = np.random.default_rng(1)
    constants = {
        "w1": rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        "w2": rng.standard_normal((8, 8, 3, 3)).astype(np.float32),
        "w3": rng.standard_normal((8, 10)).astype(np.float32),
    }
    nodes = [
        make_node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
        make_node("Relu", ["a"], ["b"]),
        make_node("Conv", ["b", "w2"], ["c"], pads=[1] * 4),
        make_node("Add", ["b", "c"], ["d"]),
        make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        make_node("GlobalAveragePool", ["e"], ["f"]),
        make_node("Flatten", ["f"], ["g"]),
        make_node("MatMul", ["g", "w3"], ["y"]),
    ]
    return build_model(nodes, {"x": (1, 3, 16, 16)}, ["y"], constants, opset=13)


@pytest.mark.parametrize("form", [QuantFormat.QDQ, QuantFormat.QOperator])
def test_models_that_arrive_quantised_go_whole(tmp_path: Path, form: QuantFormat) -> None:
    onnx.save(_small_network(), tmp_path / "float.onnx")
    # QLinearConv and QLinearMatMul are ONNX's own; ONNX's shape inference does not know the runtime's further ones
    kinds = ["Conv", "MatMul", "MaxPool"] if form is QuantFormat.QOperator else None
    quantize_static(tmp_path / "float.onnx", tmp_path / "quantised.onnx", _Samples(), form, op_types_to_quantize=kinds)
    made = _plan_quantised(tmp_path / "quantised.onnx", "rk3588")
    assert [verdict for verdict in made.verdicts if verdict.outcome is not Outcome.NPU] == []
    (part,) = made.partitions
    assert (part.inputs, part.outputs) == (("x",), ("y",))
    assert part.macs == 16 * 16 * 8 * 3 * 9 + 16 * 16 * 8 * 8 * 9 + 8 * 10


def test_quantised_models_run_on_socs_without_float(tmp_path: Path) -> None:
    onnx.save(_small_network(), tmp_path / "float.onnx")
    quantize_static(tmp_path / "float.onnx", tmp_path / "quantised.onnx", _Samples(), quant_format=QuantFormat.QDQ)
    assert len(_plan_quantised(tmp_path / "quantised.onnx", "rv1106").partitions) == 1


def _plan_quantised(path: Path, soc: str) -> Plan:
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])  # the model is one that a runtime takes
    return plan(normalize(load_model(path)), TARGETS[soc], "int8", min_partition_macs=0)


def test_ten_thousand_nodes_are_one_partition() -> None:
    names = ["x", *(f"v{index}" for index in range(9_999)), "y"]
    nodes = [make_node("Relu" if i % 2 else "Sigmoid", [names[i]], [names[i + 1]]) for i in range(10_000)]
    long = normalize(load_model(build_model(nodes, {"x": (1, 4)}, ["y"]).SerializeToString()))
    made = plan(long, TARGETS["rk3588"], "fp16", min_partition_macs=0)
    assert [len(part.nodes) for part in made.partitions] == [10_000]
