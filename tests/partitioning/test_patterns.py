"""What becomes one native operator stays one group."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from rknn_ep.graph.wiring import wire
from rknn_ep.partitioning.patterns import native_groups
from tests.partitioning.helpers import PLANE, build, node, planned, rms_normalization, view_of

WEIGHT = np.linspace(-1, 1, 4 * 4 * 3 * 3, dtype=np.float32).reshape(4, 4, 3, 3)
CONSTANTS: dict[str, Any] = {
    "w": WEIGHT,
    "m": np.linspace(-1, 1, 64, dtype=np.float32).reshape(8, 8),
    "bias": np.linspace(0, 1, 8, dtype=np.float32),
    "slope": np.full((4, 1, 1), 0.1, np.float32),
    "zero": np.float32(0),
    "six": np.float32(6),
    "one": np.float32(1),
    "half": np.float32(0.5),
    "root": np.float32(2**0.5),
    "scale": np.float32(0.17),
    "two": np.float32(2),
    "epsilon": np.float32(1e-5),
}


def conv(to: str) -> onnx.NodeProto:
    return node("Conv", ["x", "w"], [to], pads=[1, 1, 1, 1])


def gelu(source: str) -> list[onnx.NodeProto]:
    return [
        node("Div", [source, "root"], ["g1"]),
        node("Erf", ["g1"], ["g2"]),
        node("Add", ["g2", "one"], ["g3"]),
        node("Mul", [source, "g3"], ["g4"]),
        node("Mul", ["g4", "half"], ["y"]),
    ]


def silu(source: str) -> list[onnx.NodeProto]:
    return [node("Sigmoid", [source], ["s"]), node("Mul", [source, "s"], ["y"])]


WHOLE: dict[str, list[onnx.NodeProto]] = {
    "conv relu": [conv("t"), node("Relu", ["t"], ["y"])],
    "conv clip": [conv("t"), node("Clip", ["t", "zero", "six"], ["y"])],
    "conv prelu": [conv("t"), node("PRelu", ["t", "slope"], ["y"])],
    "conv silu": [conv("t"), *silu("t")],
    "conv gelu": [conv("t"), *gelu("t")],
    "silu": silu("x"),
    "gelu": gelu("x"),
    "gelu, half first": [
        node("Mul", ["x", "half"], ["h"]),
        node("Div", ["x", "root"], ["g1"]),
        node("Erf", ["g1"], ["g2"]),
        node("Add", ["g2", "one"], ["g3"]),
        node("Mul", ["h", "g3"], ["y"]),
    ],
    "mish": [node("Softplus", ["x"], ["a"]), node("Tanh", ["a"], ["b"]), node("Mul", ["x", "b"], ["y"])],
    "add relu": [node("Add", ["x", "x2"], ["t"]), node("Relu", ["t"], ["y"])],
    "matmul bias relu": [
        node("MatMul", ["x", "m"], ["t"]),
        node("Add", ["t", "bias"], ["u"]),
        node("Relu", ["u"], ["y"]),
    ],
    "rms norm": rms_normalization("bias"),
    "attention": [
        node("Transpose", ["x2"], ["k"], perm=[0, 1, 3, 2]),
        node("MatMul", ["x", "k"], ["a"]),
        node("Mul", ["a", "scale"], ["b"]),
        node("Softmax", ["b"], ["p"], axis=-1),
        node("MatMul", ["p", "x2"], ["y"]),
    ],
}


def view(nodes: list[onnx.NodeProto], outputs: list[str] | None = None) -> Any:
    read = {name for item in nodes for name in item.input}
    constants = {name: value for name, value in CONSTANTS.items() if name in read}
    inputs = {name: PLANE for name in ("x", "x2") if name in read}
    return view_of(build(nodes, inputs, outputs or ["y"], constants))


@pytest.mark.parametrize("name", WHOLE)
def test_what_the_compiler_fuses_is_one_group(name: str) -> None:
    found = view(WHOLE[name])
    assert native_groups(found) == (tuple(range(len(found.nodes))),)


APART: dict[str, tuple[list[onnx.NodeProto], list[str] | None]] = {
    "conv add": ([conv("t"), node("Add", ["t", "x2"], ["y"])], None),
    "gemm hard swish": ([node("MatMul", ["x", "m"], ["t"]), node("HardSwish", ["t"], ["y"])], None),
    "the middle is an output": ([conv("t"), node("Relu", ["t"], ["y"])], ["t", "y"]),
    "the middle is read elsewhere": (
        [conv("t"), node("Relu", ["t"], ["u"]), node("Tanh", ["t"], ["v"]), node("Add", ["u", "v"], ["y"])],
        None,
    ),
    "masked attention": (
        [
            node("MatMul", ["x", "x2"], ["a"]),
            node("Add", ["a", "x2"], ["b"]),
            node("Softmax", ["b"], ["p"], axis=-1),
            node("MatMul", ["p", "x2"], ["y"]),
        ],
        None,
    ),
}


@pytest.mark.parametrize("name", APART)
def test_what_the_compiler_does_not_fuse_stays_apart(name: str) -> None:
    nodes, outputs = APART[name]
    found = view(nodes, outputs)
    assert native_groups(found) == tuple((index,) for index in range(len(found.nodes)))


def test_groups_have_one_way_out_on_a_mixture() -> None:
    nodes = [conv("t"), *silu("t"), node("Add", ["y", "x2"], ["z"]), node("Relu", ["z"], ["r"])]
    found = view(nodes, ["r"])
    wiring = wire(found.model.graph)
    for group in native_groups(found):
        for index in group[:-1]:
            for name in wiring.makes[index]:
                assert set(wiring.readers[name]) <= set(group)


def test_a_group_with_a_refused_node_is_taken_apart() -> None:
    nodes = [conv("t"), node("Relu", ["t"], ["y"])]
    plan = planned(build(nodes, {"x": PLANE}, ["y"], {"w": WEIGHT}), exclude_ops={"Relu"})
    assert plan.groups == ((0,), (1,))
    assert [part.nodes for part in plan.partitions] == [(0,)]


def test_groups_of_a_partition_are_named_by_what_they_give_out() -> None:
    nodes = [conv("t"), node("Relu", ["t"], ["u"]), node("Tanh", ["u"], ["y"])]
    plan = planned(build(nodes, {"x": PLANE}, ["y"], {"w": WEIGHT}))
    assert plan.partitions[0].groups == (("u",), ("y",))


def quantised(*, split: bool = False) -> onnx.ModelProto:
    """x -> Q -> DQ -> Conv -> Relu -> Q -> DQ -> y, as a quantiser writes it."""
    scale, zero = {"s": np.float32(0.02), "ws": np.float32(0.01)}, {"z": np.uint8(128), "wz": np.int8(0)}
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        node("DequantizeLinear", ["wq", "ws", "wz"], ["wd"]),
        node("Conv", ["d", "wd"], ["t"], pads=[1, 1, 1, 1]),
        node("Relu", ["t"], ["u"]),
        node("QuantizeLinear", ["u", "s", "z"], ["v"]),
        node("DequantizeLinear", ["v", "s", "z"], ["y" if not split else "dy"]),
    ]
    if split:
        nodes.append(node("Tan", ["dy"], ["y"]))
    constants: dict[str, Any] = {**scale, **zero, "wq": np.clip(WEIGHT * 100, -127, 127).astype(np.int8)}
    return build(nodes, {"x": PLANE}, ["y"], constants, types={"y": TensorProto.FLOAT})


def test_a_quantised_operator_with_its_pairs_is_one_group() -> None:
    found = view_of(quantised())
    groups = [tuple(found.nodes[index].facts.op_type for index in group) for group in native_groups(found)]
    assert ("DequantizeLinear", "DequantizeLinear", "Conv", "Relu", "QuantizeLinear") in groups


def test_codes_cross_the_border_next_to_an_operator_of_the_host() -> None:
    plan = planned(quantised(split=True), precision="int8", exclude_ops={"Tan"}, exclude_nodes={"n_dy"})
    part = plan.partitions[0]
    assert part.outputs == ("v",)
    assert part.inputs == ("x",)
