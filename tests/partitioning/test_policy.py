"""What is given back, and what is kept."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from rknn_ep.errors import OptionError
from rknn_ep.partitioning.costs import CALL_SECONDS, rates
from rknn_ep.records import Outcome
from tests.partitioning.helpers import PLANE, TARGETS, build, node, planned


def convolution(size: int, channels: int) -> onnx.ModelProto:
    weight = np.zeros((channels, channels, 3, 3), np.float32)
    nodes = [node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])]
    return build(nodes, {"x": (1, channels, size, size)}, ["y"], {"w": weight})


def test_work_that_pays_is_kept_and_work_that_does_not_is_given_back() -> None:
    large = planned(convolution(64, 64), precision="int8", min_partition_macs=None)
    assert len(large.partitions) == 1
    small = planned(convolution(8, 4), precision="int8", min_partition_macs=None)
    assert small.partitions == ()
    (given,) = small.returned
    assert (given.reason, given.nodes, given.macs) == ("cost", (0,), 9216)
    assert given.detail == "9,216 MACs save 0 us, 2,048 bytes at the border cost 1 us"


def test_the_cost_model_is_the_documented_formula() -> None:
    model = rates(TARGETS["rk3588"], "int8")
    assert model.saved(10**9) == pytest.approx(1 / 38.4 - 1 / 450)
    assert model.border(2_100_000) == pytest.approx(1e-3)
    assert rates(TARGETS["rk3588"], "fp16").saved(10**9) == pytest.approx(1 / 38.4 - 1 / 225)
    assert CALL_SECONDS == 100e-6


def test_zero_keeps_everything_and_a_bound_is_a_bound() -> None:
    model = convolution(8, 4)
    assert len(planned(model, precision="int8", min_partition_macs=0).partitions) == 1
    assert len(planned(model, precision="int8", min_partition_macs=9216).partitions) == 1
    bounded = planned(model, precision="int8", min_partition_macs=9217)
    assert bounded.partitions == ()
    assert bounded.returned[0].reason == "min_partition_macs"


def test_an_island_is_given_back_and_the_rest_kept() -> None:
    weight = np.zeros((64, 64, 3, 3), np.float32)
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Tan", ["a"], ["b"]),
        node("Relu", ["b"], ["c"]),
        node("Tan", ["c"], ["d"]),
        node("Conv", ["d", "w"], ["y"], pads=[1, 1, 1, 1]),
    ]
    model = build(nodes, {"x": (1, 64, 64, 64)}, ["y"], {"w": weight})
    plan = planned(model, precision="int8", exclude_ops={"Tan"}, min_partition_macs=None)
    assert [part.origins for part in plan.partitions] == [(0,), (4,)]
    assert [(given.reason, given.nodes) for given in plan.returned] == [("cost", (2,))]
    assert [part.name for part in plan.partitions] == ["rknn_0", "rknn_1"]


def chain(*op_types: str) -> onnx.ModelProto:
    names = ["x", *(f"v{index}" for index in range(len(op_types) - 1)), "y"]
    return build([node(op, [names[i]], [names[i + 1]]) for i, op in enumerate(op_types)], {"x": PLANE}, ["y"])


def test_the_cpu_side_is_trimmed_at_the_border_and_kept_inside() -> None:
    plan = planned(chain("Exp", "Ceil", "Relu", "Exp", "Sigmoid", "Floor"))
    assert [part.nodes for part in plan.partitions] == [(2, 3, 4)]
    assert {given.reason for given in plan.returned} == {"native_cpu"}
    assert plan.verdicts[3].outcome is Outcome.NATIVE_CPU


def test_trimming_can_be_switched_off() -> None:
    plan = planned(chain("Exp", "Relu", "Floor"), trim_native=False)
    assert [part.nodes for part in plan.partitions] == [(0, 1, 2)]


def test_the_cpu_side_alone_is_no_partition() -> None:
    plan = planned(chain("Exp", "Floor"), trim_native=False)
    assert plan.partitions == ()
    assert [given.reason for given in plan.returned] == ["native_cpu"]


def test_a_cpu_side_node_that_shrinks_the_border_stays() -> None:
    nodes = [node("Relu", ["x"], ["a"]), node("ArgMax", ["a"], ["y"], axis=1, keepdims=1)]
    plan = planned(build(nodes, {"x": (1, 64, 16, 16)}, ["y"], types={"y": onnx.TensorProto.INT64}))
    assert plan.partitions[0].outputs == ("y",)


def test_a_part_that_only_a_later_partition_reads_moves_there() -> None:
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Tan", ["a"], ["b"]),
        node("Sigmoid", ["x2"], ["c"]),
        node("Add", ["b", "c"], ["y"]),
    ]
    plan = planned(build(nodes, {"x": PLANE, "x2": PLANE}, ["y"]), exclude_ops={"Tan"})
    assert [part.nodes for part in plan.partitions] == [(0,), (2, 3)]


def test_the_least_number_of_partitions_is_found() -> None:
    plan = planned(chain("Relu", "Tan", "Relu", "Tan", "Relu"), exclude_ops={"Tan"})
    assert len(plan.partitions) == 3


def test_a_shape_chain_goes_with_the_partition_that_needs_it() -> None:
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Shape", ["a"], ["s"]),
        node("Reshape", ["a", "s"], ["b"]),
        node("Relu", ["b"], ["y"]),
    ]
    plan = planned(build(nodes, {"x": PLANE}, ["y"]))
    (part,) = plan.partitions
    assert part.origins == (0, 1, 2, 3)
    assert part.ignored_inputs == ()


def test_a_shape_chain_that_others_need_too_cuts_the_partition() -> None:
    nodes = [
        node("Relu", ["x"], ["a"]),
        node("Shape", ["a"], ["s"]),
        node("Reshape", ["a", "s"], ["b"]),
        node("Sigmoid", ["b"], ["y"]),
        node("Reshape", ["x2", "s"], ["c"]),
        node("Tan", ["c"], ["z"]),
    ]
    model = build(nodes, {"x": PLANE, "x2": PLANE}, ["y", "z"])
    plan = planned(model, exclude_ops={"Tan"}, exclude_nodes={"n_c"})
    assert [part.origins for part in plan.partitions] == [(0,), (2, 3)]
    assert plan.partitions[1].ignored_inputs == ("s",)


def test_a_precision_that_the_target_lacks_is_an_error() -> None:
    with pytest.raises(OptionError, match="rv1106 does not compute in fp16: it has int8, int16"):
        planned(chain("Relu"), "rv1106", "fp16")
