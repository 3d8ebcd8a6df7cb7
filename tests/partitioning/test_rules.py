"""Verdicts: where a node goes, why not, which limit it broke."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from rknn_ep.graph import View
from rknn_ep.partitioning.capability import judge, stays_float, table_rule
from rknn_ep.records import Capability, NodeFacts, Outcome, Target, Verdict
from tests.partitioning.helpers import PLANE, TARGETS, build, node, one, rms_normalization, verdict, view_of


def floats(*shape: int) -> np.ndarray[Any, Any]:
    return np.linspace(0.1, 1.0, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


ON_THE_NPU: dict[str, Callable[[], View]] = {
    "conv": lambda: one("Conv", (1, 16, 32, 32), consts={1: floats(8, 16, 3, 3)}, pads=[1, 1, 1, 1]),
    "conv depthwise": lambda: one("Conv", (1, 16, 32, 32), consts={1: floats(16, 1, 3, 3)}, group=16),
    "conv grouped": lambda: one("Conv", (1, 16, 32, 32), consts={1: floats(16, 4, 3, 3)}, group=4),
    "conv 1d": lambda: one("Conv", (1, 16, 32), consts={1: floats(8, 16, 3)}),
    "conv 3d": lambda: one("Conv", (1, 4, 8, 16, 16), consts={1: floats(8, 4, 3, 3, 3)}),
    "conv computed weight": lambda: one("Conv", (1, 16, 32, 32), (8, 16, 3, 3)),
    "conv same padding": lambda: one("Conv", (1, 16, 32, 32), consts={1: floats(8, 16, 3, 3)}, auto_pad="SAME_UPPER"),
    "conv batch": lambda: one("Conv", (4, 16, 32, 32), consts={1: floats(8, 16, 3, 3)}),
    "transposed conv": lambda: one("ConvTranspose", (1, 16, 32, 32), consts={1: floats(16, 8, 2, 2)}, strides=[2, 2]),
    "transposed depthwise conv": lambda: one(
        "ConvTranspose", (1, 16, 32, 32), consts={1: floats(16, 1, 4, 4)}, strides=[2, 2], group=16
    ),
    "matmul": lambda: one("MatMul", (1, 64, 128), consts={1: floats(128, 32)}),
    "matmul of two": lambda: one("MatMul", (1, 4, 64, 32), (1, 4, 32, 64)),
    "gemm": lambda: one("Gemm", (1, 64), consts={1: floats(32, 64), 2: floats(32)}, transB=1),
    "einsum": lambda: one("Einsum", (1, 4, 64, 32), (1, 4, 64, 32), equation="bhqd,bhkd->bhqk"),
    "max pool": lambda: one("MaxPool", (1, 16, 32, 32), kernel_shape=[2, 2], strides=[2, 2]),
    "max pool of thirteen": lambda: one("MaxPool", (1, 16, 32, 32), kernel_shape=[13, 13], pads=[6] * 4),
    "average pool": lambda: one("AveragePool", (1, 16, 32, 32), kernel_shape=[3, 3], strides=[2, 2]),
    "average pool padded": lambda: one("AveragePool", (1, 16, 32, 32), kernel_shape=[3, 3], pads=[1] * 4),
    "global average pool": lambda: one("GlobalAveragePool", (1, 16, 120, 120)),
    "relu 1d": lambda: one("Relu", (7,)),
    "relu 5d": lambda: one("Relu", (1, 2, 3, 4, 5)),
    "add": lambda: one("Add", PLANE, PLANE),
    "add broadcast": lambda: one("Add", PLANE, (1, 4, 1, 1)),
    "div by constant": lambda: one("Div", PLANE, consts={1: np.float32(3)}),
    "pow 2": lambda: one("Pow", PLANE, consts={1: np.float32(2)}),
    "min": lambda: one("Min", PLANE, PLANE),
    "prelu": lambda: one("PRelu", PLANE, consts={1: floats(4, 1, 1)}),
    "softmax": lambda: one("Softmax", (1, 1000), axis=-1),
    "layer norm 3d": lambda: one("LayerNormalization", (1, 16, 64), consts={1: floats(64), 2: floats(64)}, axis=-1),
    "reduce mean": lambda: one("ReduceMean", (1, 16, 32, 32), axes=[2, 3]),
    "transpose 5d": lambda: one("Transpose", (1, 40, 3, 8, 15), perm=[2, 0, 3, 1, 4]),
    "reshape": lambda: one("Reshape", PLANE, consts={1: whole(1, 256)}),
    "slice": lambda: one("Slice", PLANE, consts={1: whole(0), 2: whole(2), 3: whole(1)}),
    "split": lambda: one("Split", PLANE, consts={1: whole(4)}, axis=1),
    "gather constant": lambda: one("Gather", PLANE, consts={1: whole(1, 0)}, axis=1),
    "resize nearest": lambda: one(
        "Resize", PLANE, consts={1: None, 2: np.array([1, 1, 2, 2], np.float32)}, mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    ),
    "lstm": lambda: one("LSTM", (10, 1, 16), consts={1: floats(1, 128, 16), 2: floats(1, 128, 32)}, hidden_size=32),
}  # fmt: skip


@pytest.mark.parametrize("precision", ["fp16", "int8", "int16"])
@pytest.mark.parametrize("name", ON_THE_NPU)
def test_probed_configurations_go_to_the_npu(name: str, precision: str) -> None:
    found = verdict(ON_THE_NPU[name](), precision=precision)
    assert found.outcome is Outcome.NPU, found
    assert found.source


REFUSED: dict[str, tuple[Any, str, str]] = {
    "kernel": (lambda: one("Conv", (1, 8, 64, 64), consts={1: floats(8, 8, 40, 3)}), "limit", "kernel in [1, 36]"),
    "depthwise kernel": (
        lambda: one("Conv", (1, 8, 64, 64), consts={1: floats(8, 1, 31, 31)}, group=8),
        "limit",
        "kernel in [1, 30]",
    ),
    "product": (lambda: one("MatMul", (1, 2, 9001), (1, 9001, 2)), "limit", "k in [1, 9000]"),
    "cubic": (
        lambda: one("Resize", PLANE, consts={1: None, 2: np.array([1, 1, 2, 2], np.float32)}, mode="cubic"),
        "operator",
        "",
    ),
    "three-dimensional max pool": (lambda: one("MaxPool", (1, 4, 8, 8, 8), kernel_shape=[2, 2, 2]), "operator", ""),
    "rank": (lambda: one("Concat", (1, 2, 2, 2, 2, 2), (1, 2, 2, 2, 2, 2), axis=1), "rank", "rank 1 to 5"),
    "attribute": (lambda: one("Mod", PLANE, PLANE), "attribute", "fmod = 1"),
    "negative step": (
        lambda: one("Slice", PLANE, consts={1: whole(-1), 2: whole(-9), 3: whole(1), 4: whole(-1)}),
        "attribute",
        "steps of 1 or more (what the NPU does with others was not checked)",
    ),
    "unknown": (lambda: one("Det", (1, 4, 4)), "operator", ""),
    "random": (lambda: one("RandomUniformLike", PLANE), "operator", ""),
    "scalar": (lambda: one("ReduceSum", PLANE, keepdims=0), "rank", "rank 1 or more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_not_probed_is_refused_with_its_reason_and_limit(name: str) -> None:
    make, reason, limit = REFUSED[name]
    found = verdict(make())
    assert (found.outcome, found.reason, found.limit) == (Outcome.REFUSED, reason, limit), found
    assert found.detail
    assert found.source


@pytest.mark.parametrize("op_type", ["Exp", "Erf", "Log", "Ceil", "Sin"])
def test_what_the_vendor_computes_on_its_cpu_side_is_told_apart(op_type: str) -> None:
    found = verdict(one(op_type, PLANE))
    assert (found.outcome, found.reason) == (Outcome.NATIVE_CPU, "operator")
    assert "CPU side" in found.detail


def test_written_out_forms_say_how() -> None:
    for op_type in ("Selu", "Celu", "Softsign"):
        found = verdict(one(op_type, PLANE))
        assert found.outcome is Outcome.NPU
        assert found.detail.startswith("handed to the compiler as")


ON_RV1106: dict[str, tuple[Callable[[], View], Outcome]] = {
    "picked by integers": (lambda: one("SpaceToDepth", (1, 3, 24, 36), blocksize=2), Outcome.NPU),
    "summed in float16": (lambda: one("ReduceSumSquare", (1, 2, 13, 10), axes=[2]), Outcome.REFUSED),
    "kernel of sixteen": (lambda: one("Conv", (1, 8, 64), consts={1: floats(8, 8, 16)}), Outcome.NPU),
    "parts in float16": (lambda: one("Conv", (1, 8, 64), consts={1: floats(8, 8, 17)}), Outcome.REFUSED),
    "one value for each channel": (lambda: one("GreaterOrEqual", PLANE, (1, 4, 1, 1)), Outcome.REFUSED),
    "one row for all": (lambda: one("GreaterOrEqual", PLANE, (8,)), Outcome.NATIVE_CPU),
    "volumes of odd planes": (
        lambda: one("BatchNormalization", (1, 48, 8, 11, 2), consts={index: floats(48) for index in (1, 2, 3, 4)}),
        Outcome.REFUSED,
    ),
}


@pytest.mark.parametrize("name", ON_RV1106)
def test_without_float16_parts_that_are_not_integers_are_refused(name: str) -> None:
    make, outcome = ON_RV1106[name]
    assert verdict(make(), "rv1106", "int8").outcome is outcome


@pytest.mark.parametrize("shape", [(8, 1), (2, 1, 5), (2, 1, 6, 8), (2, 1, 5, 1, 1)])
def test_one_channel_of_several_images_kills_the_compiler_of_rv1106b(shape: tuple[int, ...]) -> None:
    view = one("BatchNormalization", shape, consts={index: floats(1) for index in (1, 2, 3, 4)})
    assert verdict(view, "rv1106b", "int8").outcome is Outcome.REFUSED
    assert verdict(view, "rv1106", "int8").outcome is Outcome.NPU


@pytest.mark.parametrize(("shape", "axis", "parts"), [((24,), 0, (5, 7, 6, 6)), ((1, 12, 30), 1, (5, 3, 4))])
def test_odd_parts_of_a_vector_or_of_the_channels_kill_the_compiler_of_rv1106b(
    shape: tuple[int, ...], axis: int, parts: tuple[int, ...]
) -> None:
    nodes = [node("Split", ["x", "parts"], ["y", *(f"y{index}" for index in range(1, len(parts)))], axis=axis)]
    view = view_of(build(nodes, {"x": shape}, ["y"], {"parts": whole(*parts)}))
    assert verdict(view, "rv1106b", "int8").outcome is Outcome.REFUSED
    assert verdict(view, "rv1106", "int8").outcome is Outcome.NPU


@pytest.mark.parametrize(("shapes", "axis"), [([(6,), (6,), (6,)], 0), ([(1, 5, 30), (1, 3, 30), (1, 4, 30)], 1)])
def test_three_odd_parts_joined_kill_the_compiler_of_rv1106b(shapes: list[tuple[int, ...]], axis: int) -> None:
    assert verdict(one("Concat", *shapes, axis=axis), "rv1106b", "int8").outcome is Outcome.REFUSED
    assert verdict(one("Concat", *shapes, axis=axis), "rv1106", "int8").outcome is Outcome.NPU
    assert verdict(one("Concat", *shapes[:2], axis=axis), "rv1106b", "int8").outcome is Outcome.NPU  # of two it does not


@pytest.mark.parametrize("soc", TARGETS)
@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_an_average_of_a_window_behind_the_tensor_is_refused_everywhere(soc: str, dimensions: int) -> None:
    """Windows of three, four apart, padded by one: ceil_mode adds one that begins at the eighth value."""

    def pool(size: int) -> Verdict:
        each = {"kernel_shape": [3] * dimensions, "strides": [4] * dimensions, "pads": [1, 1] * dimensions}
        view = one("AveragePool", (1, 16, *[size] * dimensions), **each, ceil_mode=1, count_include_pad=1)
        return verdict(view, soc, TARGETS[soc].precisions[0])

    assert (pool(7).outcome, pool(7).limit) == (Outcome.REFUSED, "every window begins inside")
    assert pool(8).limit != pool(7).limit


ON_RV1106B: dict[str, tuple[Callable[[], View], Outcome]] = {
    "a mean by channels": (lambda: one("Mean", PLANE, (4, 1, 1)), Outcome.NPU),
    "a mean that extends a row kills it": (lambda: one("Mean", PLANE, (8,)), Outcome.REFUSED),
    "a mean that extends one value kills it": (lambda: one("Mean", PLANE, PLANE, (1, 1, 1, 1)), Outcome.REFUSED),
    "a sum extends a row": (lambda: one("Sum", PLANE, (8,)), Outcome.NPU),
    "the largest of two channels kills it": (lambda: one("Hardmax", (4, 2, 24, 42), axis=1), Outcome.REFUSED),
    "the largest of three channels": (lambda: one("Hardmax", (4, 3, 24, 42), axis=1), Outcome.NATIVE_CPU),
    "the largest of two in a row kills it": (lambda: one("Hardmax", (1, 8, 15, 2), axis=3), Outcome.REFUSED),
    "and of two in a plane's row": (lambda: one("Hardmax", (4, 2), axis=1), Outcome.REFUSED),
    "a minimum by channels": (lambda: one("Min", PLANE, (1, 4, 1, 1)), Outcome.NPU),
    "a minimum that extends a column kills it": (lambda: one("Min", PLANE, (1, 4, 8, 1)), Outcome.REFUSED),
    "a minimum of volumes that extends kills it": (lambda: one("Min", (1, 4, 3, 4, 7), (1, 4, 3, 4, 1)), Outcome.REFUSED),
    "a maximum of volumes by channels": (lambda: one("Max", (1, 4, 3, 4, 7), (1, 4, 1, 1, 1)), Outcome.NATIVE_CPU),
    "tensors joined along their rows": (lambda: one("Concat", PLANE, PLANE, axis=3), Outcome.NPU),
    "magnitudes of single rows, without them": (lambda: one("ReduceL1", (1, 8, 1, 12), axes=[2], keepdims=0), Outcome.REFUSED),
    "the length of single rows": (lambda: one("ReduceL2", (1, 8, 1, 12), axes=[2]), Outcome.REFUSED),
    "chosen channels": (lambda: one("Gather", (1, 16, 8, 12), consts={1: whole(7, 2, 11)}, axis=1), Outcome.NPU),
    "chosen columns": (lambda: one("Gather", (1, 16, 8, 12), consts={1: whole(7, 2, 11)}, axis=3), Outcome.NATIVE_CPU),
    "columns side by side": (lambda: one("Gather", (1, 16, 8, 12), consts={1: whole(5, 6, 7)}, axis=3), Outcome.NPU),
    "softmax along a volume's last axis": (lambda: one("Softmax", (2, 2, 6, 11, 3), axis=-1), Outcome.NATIVE_CPU),
    "softmax along another": (lambda: one("Softmax", (2, 2, 6, 11, 3), axis=3), Outcome.NPU),
    "one channel normalised": (
        lambda: one("InstanceNormalization", (2, 1, 43, 1), consts={1: floats(1), 2: floats(1)}),
        Outcome.NATIVE_CPU,
    ),
    "a vector of parts of four": (lambda: one("Concat", (8,), (232,), (20,), axis=0), Outcome.NPU),
}


@pytest.mark.parametrize("name", ON_RV1106B)
def test_where_rv1106b_differs(name: str) -> None:
    make, outcome = ON_RV1106B[name]
    assert verdict(make(), "rv1106b", "int8").outcome is outcome


def pool(op_type: str, kernel: tuple[int, int], stride: int, **more: Any) -> View:
    return one(op_type, (1, 16, 37, 42), kernel_shape=kernel, strides=[stride, stride], **more)


def padded(*amounts: int) -> View:
    return one("Pad", (1, 16, 32, 32), consts={1: whole(*amounts)})


def grouped(per_group: int) -> View:
    return one("ConvTranspose", (1, 16, 20, 20), consts={1: floats(16, per_group, 4, 4)}, strides=[2, 2], group=4)


BY_SOC: dict[str, tuple[Callable[[], View], str, str, Outcome]] = {
    "padding worked out from the size": (
        lambda: one("Conv", (4, 8, 30), consts={1: floats(3, 8, 3)}, auto_pad="SAME_UPPER", strides=[2]),
        "rk3588",
        "int8",
        Outcome.NPU,
    ),
    "of a transposed convolution": (
        lambda: one("ConvTranspose", (1, 16, 20, 20), consts={1: floats(16, 8, 4, 4)}, auto_pad="SAME_UPPER", strides=[2, 2]),
        "rk3588",
        "int8",
        Outcome.NPU,
    ),
    "an output whose shape is written": (
        lambda: one("ConvTranspose", (1, 16, 20, 20), consts={1: floats(16, 8, 4, 4)}, output_shape=[40, 40], strides=[2, 2]),
        "rk3588",
        "int8",
        Outcome.REFUSED,
    ),
    "softmax along a single value": (lambda: one("Softmax", (1, 8, 6, 1, 11), axis=0), "rk3588", "int8", Outcome.REFUSED),
    "lengths over windows of seven": (lambda: pool("LpPool", (7, 3), 3), "rv1106", "int8", Outcome.NATIVE_CPU),
    "of eight, in float16": (lambda: pool("LpPool", (8, 3), 3), "rv1106", "int8", Outcome.REFUSED),
    "a vector divided": (lambda: one("Div", (44,), (44,)), "rk3588", "fp16", Outcome.NATIVE_CPU),
    "by one row for all": (lambda: one("Div", (2, 592), (1, 592)), "rk3576", "fp16", Outcome.NATIVE_CPU),
    "by a value for each row": (lambda: one("Div", (2, 592), (2, 1)), "rk3576", "fp16", Outcome.NPU),
    "averages eight apart": (lambda: pool("AveragePool", (3, 3), 8), "rk3588", "int8", Outcome.NPU),
    "and where the compiler dies of them": (lambda: pool("AveragePool", (3, 3), 8), "rk3576", "int8", Outcome.REFUSED),
    "averages nine apart": (lambda: pool("AveragePool", (3, 3), 9), "rk3576", "int8", Outcome.NPU),
    "in float16": (lambda: pool("AveragePool", (3, 3), 8), "rk3576", "fp16", Outcome.NPU),
    "largest of windows eight apart": (lambda: pool("MaxPool", (2, 2), 8), "rk3576", "int8", Outcome.NPU),
    "of windows one wide": (lambda: pool("MaxPool", (3, 1), 8), "rk3576", "int8", Outcome.REFUSED),
    "windows apart, rounded up": (lambda: pool("MaxPool", (3, 3), 5, ceil_mode=1), "rk3588", "int8", Outcome.REFUSED),
    "on another": (lambda: pool("MaxPool", (3, 3), 5, ceil_mode=1), "rk3576", "int8", Outcome.NPU),
    "dilated windows": (lambda: pool("MaxPool", (8, 8), 1, dilations=[2, 2]), "rk3588", "int8", Outcome.NPU),
    "wider ones": (lambda: pool("MaxPool", (3, 9), 1, dilations=[2, 2]), "rk3588", "int8", Outcome.NATIVE_CPU),
    "channels added": (lambda: padded(0, 2, 0, 0, 0, 3, 0, 0), "rk2118", "fp16", Outcome.NPU),
    "channels added behind": (lambda: padded(0, 0, 0, 0, 0, 3, 0, 0), "rk2118", "fp16", Outcome.NATIVE_CPU),
    "sixteen, and rows": (lambda: padded(0, 16, 1, 1, 0, 16, 1, 1), "rk3588", "int8", Outcome.NPU),
    "eight, and rows": (lambda: padded(0, 8, 1, 1, 0, 8, 1, 1), "rk3588", "int8", Outcome.NATIVE_CPU),
    "eight in float16": (lambda: padded(0, 8, 1, 1, 0, 8, 1, 1), "rk3588", "fp16", Outcome.NPU),
    "a group of one output has one scale": (lambda: grouped(1), "rk3588", "int8", Outcome.NPU),
    "of two it has two": (lambda: grouped(2), "rk3588", "int8", Outcome.REFUSED),
    "the largest of a volume": (lambda: one("GlobalMaxPool", (1, 24, 10, 12, 9)), "rk3588", "int8", Outcome.NPU),
    "the largest of a plane": (lambda: one("GlobalMaxPool", (1, 24, 28, 28)), "rk2118", "fp16", Outcome.NPU),
    "where the compiler does not end": (lambda: one("GlobalMaxPool", (4, 24, 27, 62)), "rk2118", "fp16", Outcome.REFUSED),
    "a volume of odd planes": (lambda: one("Abs", (1, 25, 10, 8, 9)), "rv1106", "int8", Outcome.NPU),
    "a larger one": (lambda: one("Abs", (1, 40, 10, 8, 9)), "rv1106", "int8", Outcome.REFUSED),
    "of even planes": (lambda: one("Abs", (1, 40, 10, 8, 10)), "rv1106", "int8", Outcome.NPU),
    "several of them": (lambda: one("Abs", (2, 40, 10, 8, 9)), "rv1106", "int8", Outcome.NPU),
    "elsewhere": (lambda: one("Abs", (1, 40, 10, 8, 9)), "rk3588", "int8", Outcome.NPU),
    "a kernel in three dimensions": (
        lambda: one("Conv", (1, 96, 11, 6, 15), consts={1: floats(20, 96, 5, 5, 5)}),
        "rv1106b",
        "int8",
        Outcome.REFUSED,
    ),
    "a computed kernel of 4608 values": (lambda: one("Conv", (1, 32, 40, 40), (16, 32, 12, 12)), "rk3576", "fp16", Outcome.NPU),
    "of 6272 values": (lambda: one("Conv", (1, 32, 40, 40), (16, 32, 14, 14)), "rk3576", "fp16", Outcome.REFUSED),
    "rows and columns of eight": (lambda: one("Transpose", (1, 64, 24), perm=[0, 2, 1]), "rk3566", "int8", Outcome.NPU),
    "of four": (lambda: one("Transpose", (1, 64, 12), perm=[0, 2, 1]), "rk3566", "int8", Outcome.NATIVE_CPU),
    "of four in float16": (lambda: one("Transpose", (1, 64, 12), perm=[0, 2, 1]), "rk3566", "fp16", Outcome.NPU),
    "of two": (lambda: one("Transpose", (1, 64, 90), perm=[0, 2, 1]), "rk3566", "fp16", Outcome.NATIVE_CPU),
    "single values change places": (lambda: one("Transpose", (1, 39, 60), perm=[1, 0, 2]), "rk3566", "fp16", Outcome.NPU),
    "an odd last axis": (lambda: one("Transpose", (4, 4, 42, 25), perm=[0, 1, 3, 2]), "rv1106", "int8", Outcome.NATIVE_CPU),
    "a sum of products by a half": (
        lambda: one("Gemm", (1, 64), (64, 32), consts={2: floats(32)}, alpha=0.5),
        "rv1106",
        "int8",
        Outcome.REFUSED,
    ),
    "the largest channel": (lambda: one("ReduceMax", (4, 16, 11, 59), axes=[1]), "rk3576", "fp16", Outcome.NPU),
    "the largest row": (lambda: one("ReduceMax", (4, 16, 11, 59), axes=[2]), "rk3576", "fp16", Outcome.NATIVE_CPU),
    "one of sixteen": (lambda: one("Hardmax", (1, 16, 32, 32), axis=3), "rk3588", "int8", Outcome.NPU),
    "one of eight": (lambda: one("Hardmax", (1, 16, 32, 24), axis=3), "rk3588", "int8", Outcome.NATIVE_CPU),
}


@pytest.mark.parametrize("name", BY_SOC)
def test_where_socs_and_sizes_differ(name: str) -> None:
    make, soc, precision, outcome = BY_SOC[name]
    assert verdict(make(), soc, precision).outcome is outcome


@pytest.mark.parametrize("op_type", ["And", "Or", "Xor"])
@pytest.mark.parametrize(
    ("shape", "outcome"),
    [
        ((1, 16, 6, 6), Outcome.NATIVE_CPU),
        ((1, 16, 5, 7), Outcome.REFUSED),
        ((1, 4, 8, 8), Outcome.REFUSED),
        ((1, 1, 5, 7), Outcome.NATIVE_CPU),
        ((16, 5, 7), Outcome.NATIVE_CPU),
    ],
)
def test_booleans_that_change_their_layout_kill_the_compiler_of_rk2118(
    op_type: str, shape: tuple[int, ...], outcome: Outcome
) -> None:
    types = dict.fromkeys("aby", TensorProto.BOOL)
    view = view_of(build([node(op_type, ["a", "b"], ["y"])], {"a": shape, "b": shape}, ["y"], types=types))
    assert verdict(view, "rk2118", "fp16").outcome is outcome
    assert verdict(view, "rk3566", "fp16").outcome is Outcome.NATIVE_CPU


@pytest.mark.parametrize("soc", TARGETS)
def test_the_last_axis_of_several_volumes_cut_kills_every_compiler(soc: str) -> None:
    def cut(batch: int, axis: int) -> Outcome:
        view = one("Slice", (batch, 10, 10, 5, 6), consts={1: whole(1), 2: whole(3), 3: whole(axis)})
        return verdict(view, soc, TARGETS[soc].precisions[0]).outcome

    assert cut(4, 4) is Outcome.REFUSED
    assert Outcome.REFUSED not in (cut(1, 4), cut(4, 3))


@pytest.mark.parametrize(("heads", "scaled", "outcome"), [(4, True, "npu"), (1, True, "native_cpu"), (1, False, "npu")])
def test_attention_of_one_head_on_rv1106b(heads: int, scaled: bool, outcome: str) -> None:
    nodes = [
        node("Transpose", ["k"], ["t"], perm=[0, 1, 3, 2]),
        node("MatMul", ["q", "t"], ["a"]),
        *([node("Mul", ["a", "scale"], ["b"])] if scaled else []),
        node("Softmax", ["b" if scaled else "a"], ["p"], axis=-1),
        node("MatMul", ["p", "v"], ["y"]),
    ]
    shapes = dict.fromkeys(("q", "k", "v"), (1, heads, 24, 16))
    view = view_of(build(nodes, shapes, ["y"], {"scale": np.float32(0.25)} if scaled else {}))
    softmax = next(index for index, item in enumerate(view.nodes) if item.facts.op_type == "Softmax")
    assert judge(view, TARGETS["rv1106b"], "int8")[softmax].outcome.value == outcome


def test_a_normalisation_in_parts_goes_where_the_soc_computes_normalisations() -> None:
    constants = {"two": np.float32(2), "epsilon": np.float32(1e-5), "scale": floats(128)}
    view = view_of(build(rms_normalization("scale"), {"x": (1, 64, 128)}, ["y"], constants))
    for soc, outcome in (("rk3588", Outcome.NPU), ("rk2118", Outcome.NATIVE_CPU)):
        assert {found.outcome for found in judge(view, TARGETS[soc], "fp16")} == {outcome}


def test_a_window_larger_than_the_padded_tensor_is_refused() -> None:
    found = verdict(one("Conv", (1, 8, 4, 21), consts={1: floats(8, 8, 21, 5)}, pads=[7, 2, 7, 2]))
    assert (found.outcome, found.detail) == (Outcome.REFUSED, "a window of 21 on 18 values")


def test_exponents_that_were_probed_and_others() -> None:
    outcomes = {power: verdict(one("Pow", PLANE, consts={1: np.float32(power)})).outcome for power in (2, 3, 0.5, 0.75)}
    assert [power for power, outcome in outcomes.items() if outcome is Outcome.NPU] == [2, 3, 0.5]
    assert outcomes[0.75] is Outcome.NATIVE_CPU


def test_socs_differ() -> None:
    assert verdict(one("Sin", PLANE), "rk3576").outcome is Outcome.NPU
    assert verdict(one("Softmax", PLANE, axis=1), "rk3566").outcome is Outcome.NATIVE_CPU
    assert verdict(one("Softmax", PLANE, axis=1), "rk3588").outcome is Outcome.NPU


def test_a_light_operator_beyond_a_limit_goes_to_the_cpu_side() -> None:
    found = verdict(one("MaxPool", (1, 4, 32, 32), kernel_shape=[17, 17]))
    assert (found.outcome, found.reason, found.limit) == (Outcome.NATIVE_CPU, "limit", "kernel in [1, 16]")


def test_what_has_no_integer_form_stays_in_float16_where_there_is_float16() -> None:
    view = one("Softmax", (1, 16, 64), axis=-1)
    found = verdict(view, precision="int8")
    assert found.outcome is Outcome.NPU
    assert stays_float(found)
    assert not stays_float(verdict(one("Add", PLANE, PLANE), precision="int8"))


def test_a_division_between_integers_is_the_cpu_sides() -> None:
    """The compiler rounds it with its neighbours, and has no integer division on the NPU; in float16 it has one."""
    view = one("Div", PLANE, PLANE)
    assert verdict(view, precision="int8").outcome is Outcome.NATIVE_CPU
    assert verdict(view, precision="fp16").outcome is Outcome.NPU


def test_dynamic_shapes_are_refused_by_name() -> None:
    view = view_of(build([node("NonZero", ["x"], ["i"]), node("Cast", ["i"], ["y"], to=TensorProto.FLOAT)], {"x": PLANE}, ["y"]))
    found = verdict(view)
    assert (found.outcome, found.reason) == (Outcome.REFUSED, "shape")
    assert "'i'" in found.detail


def test_integers_are_refused() -> None:
    view = view_of(
        build([node("Add", ["x", "x"], ["y"])], {"x": (2, 3)}, ["y"], types={"x": TensorProto.INT64, "y": TensorProto.INT64})
    )
    found = verdict(view)
    assert (found.outcome, found.reason, found.limit) == (Outcome.REFUSED, "dtype", "FLOAT or FLOAT16")
    assert found.detail == "'x' is INT64"


def test_double_is_refused() -> None:
    view = view_of(
        build([node("Relu", ["x"], ["y"])], {"x": (2, 3)}, ["y"], types={"x": TensorProto.DOUBLE, "y": TensorProto.DOUBLE})
    )
    assert verdict(view).reason == "dtype"


def facts(**given: Any) -> NodeFacts:
    return replace(NodeFacts("n", "Relu", "", 17, {}, (), ()), **given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"op_type": "If"}, "control-flow"),
        ({"domain": "my.domain"}, "domain"),
        ({"opset": 20}, "opset"),
        ({"opset": 9}, "opset"),
        ({"op_type": "Shape"}, "operator"),
        ({"op_type": "QLinearConv"}, "precision"),
    ],
)
def test_what_no_table_is_needed_for(given: dict[str, Any], reason: str) -> None:
    found = table_rule().judge(facts(**given), TARGETS["rk3588"], "fp16")
    assert found is not None
    assert (found.outcome, found.reason) == (Outcome.REFUSED, reason)


def test_a_plugins_rule_is_asked_first_and_may_stay_silent() -> None:
    def no_relu(node: NodeFacts, target: Target, precision: str) -> Verdict | None:
        return Verdict(Outcome.REFUSED, "limit", "we know better") if node.op_type == "Relu" else None

    rules = [Capability("ours", no_relu, priority=10), table_rule()]
    assert judge(one("Relu", PLANE), TARGETS["rk3588"], "fp16", rules=rules)[0].detail == "we know better"
    assert judge(one("Sigmoid", PLANE), TARGETS["rk3588"], "fp16", rules=rules)[0].outcome is Outcome.NPU


def test_a_rule_sees_only_the_operators_that_it_names() -> None:
    seen: list[str] = []

    def watch(node: NodeFacts, target: Target, precision: str) -> None:
        seen.append(node.op_type)

    rules = [Capability("ours", watch, op_types=("Relu",)), table_rule()]
    view = view_of(build([node("Relu", ["x"], ["t"]), node("Tanh", ["t"], ["y"])], {"x": PLANE}, ["y"]))
    judge(view, TARGETS["rk3588"], "fp16", rules=rules)
    assert seen == ["Relu"]


def test_excluded_nodes_and_operators() -> None:
    view = one("Relu", PLANE)
    by_name = judge(view, TARGETS["rk3588"], "fp16", exclude_nodes={"n_y"})[0]
    by_output = judge(view, TARGETS["rk3588"], "fp16", exclude_nodes={"y"})[0]
    by_op = judge(view, TARGETS["rk3588"], "fp16", exclude_ops={"Relu"})[0]
    assert {by_name.reason, by_output.reason, by_op.reason} == {"excluded"}


def test_an_original_is_excluded_with_the_node_that_stands_for_it() -> None:
    nodes = [
        node("Add", ["x", "three"], ["a"]),
        node("Clip", ["a", "zero", "six"], ["b"]),
        node("Mul", ["x", "b"], ["c"]),
        node("Div", ["c", "six"], ["y"]),
    ]
    constants = {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)}
    view = view_of(build(nodes, {"x": PLANE}, ["y"], constants))
    assert [item.facts.op_type for item in view.nodes] == ["HardSwish"]
    assert judge(view, TARGETS["rk3588"], "fp16", exclude_nodes={"n_b"})[0].reason == "excluded"
    assert judge(view, TARGETS["rk3588"], "fp16", exclude_ops={"Clip"})[0].reason == "excluded"


def test_a_fused_node_is_lifted_and_alone_it_is_not() -> None:
    gelu = [
        node("Div", ["x", "root"], ["a"]),
        node("Erf", ["a"], ["b"]),
        node("Add", ["b", "one"], ["c"]),
        node("Mul", ["x", "c"], ["d"]),
        node("Mul", ["d", "half"], ["y"]),
    ]
    constants = {"root": np.float32(2**0.5), "one": np.float32(1), "half": np.float32(0.5)}
    view = view_of(build(gelu, {"x": (1, 16, 64)}, ["y"], constants))
    lifted = judge(view, TARGETS["rk3588"], "fp16")
    assert {found.outcome for found in lifted} == {Outcome.NPU}
    kept = judge(view, TARGETS["rk3588"], "fp16", exclude_nodes={"n_c"})
    assert kept[1].outcome is Outcome.NATIVE_CPU
