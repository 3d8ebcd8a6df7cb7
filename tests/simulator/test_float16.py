"""Float partitions round to float16 where the NPU stores, and nowhere else."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tests.simulator import bundles, driver
from tests.simulator.driver import Context

RNG = np.random.default_rng(11)
F32 = TensorProto.FLOAT
Array = np.ndarray[Any, Any]


def half(array: Array) -> Array:
    with np.errstate(over="ignore"):
        return array.astype(np.float16).astype(np.float32)


def run(library: ctypes.CDLL, path: Path, *arrays: Array, options: str = "simulation=fast") -> list[Array]:
    with Context(library, path, options=options) as context:
        return context(*arrays)


def test_a_product_that_overflows_float16_is_infinite_although_the_result_would_fit(library: ctypes.CDLL, tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["big"]), helper.make_node("Mul", ["big", "factor"], ["y"])]
    proto = bundles.model(nodes, [("x", F32, [3])], [("y", F32, [3])], {"factor": np.float32(0.5)})
    path = bundles.bundle(tmp_path / "overflow.rknnctx", proto, groups=[("big",), ("y",)])
    x = np.array([300, -300, 100], np.float32)
    for options in ("simulation=fast", "simulation=exact"):
        np.testing.assert_array_equal(run(library, path, x, options=options)[0], [np.inf, np.inf, 5000])


def test_inside_a_native_operator_nothing_is_rounded(library: ctypes.CDLL, tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["x", "x"], ["big"]), helper.make_node("Mul", ["big", "factor"], ["y"])]
    proto = bundles.model(nodes, [("x", F32, [2])], [("y", F32, [2])], {"factor": np.float32(0.5)})
    path = bundles.bundle(tmp_path / "one.rknnctx", proto, groups=[("y",)])
    np.testing.assert_array_equal(run(library, path, np.array([300, 400], np.float32))[0], [44992, np.inf])


def test_values_weights_and_results_equal_a_reference_rounded_at_the_same_borders(library: ctypes.CDLL, tmp_path: Path) -> None:
    weight, bias = RNG.standard_normal((24, 16)).astype(np.float32), RNG.standard_normal(16).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Add", ["m", "b"], ["a"]),
        helper.make_node("Tanh", ["a"], ["y"]),
    ]
    proto = bundles.model(nodes, [("x", F32, [5, 24])], [("y", F32, [5, 16])], {"w": weight, "b": bias})
    path = bundles.bundle(tmp_path / "layer.rknnctx", proto, groups=[("a",), ("y",)])
    x = RNG.standard_normal((5, 24)).astype(np.float32)
    inner = half(half(x) @ half(weight) + bias)  # a bias goes to the 32-bit sum
    expected = half(np.tanh(inner))
    got = run(library, path, x)[0]
    np.testing.assert_array_equal(got, half(got))
    # Float32 sums in another order may fall on the other side of one rounding: one float16 step.
    np.testing.assert_allclose(got, expected, rtol=2**-10, atol=2**-24)
    assert (got == expected).mean() > 0.95


def test_moving_data_adds_no_casts(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("Relu", ["t"], ["r"]),
        helper.make_node("Concat", ["r", "c"], ["y"], axis=0),
    ]
    proto = bundles.model(nodes, [("x", F32, [2, 3])], [("y", F32, [5, 2])], {"c": np.full((2, 2), 0.1, np.float32)})
    result = bundles.compiled(proto, groups=[("t",), ("r",), ("y",)])
    assert result.notes["float16_borders"] == 1  # the input


def test_a_constant_beyond_float16_is_infinite_as_in_the_device(library: ctypes.CDLL, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["x", "mask"], ["a"]), helper.make_node("Softmax", ["a"], ["y"], axis=-1)]
    proto = bundles.model(nodes, [("x", F32, [1, 3])], [("y", F32, [1, 3])], {"mask": np.array([[0, 0, -1e9]], np.float32)})
    path = bundles.bundle(tmp_path / "mask.rknnctx", proto)
    np.testing.assert_array_equal(run(library, path, np.ones((1, 3), np.float32))[0], [[0.5, 0.5, 0]])


def test_an_island_in_a_quantised_partition_is_float16_and_the_rest_stays_codes(library: ctypes.CDLL, tmp_path: Path) -> None:
    nodes = [
        *bundles.pair("x", "s", "z", "a"),
        helper.make_node("Relu", ["a"], ["r"]),
        *bundles.pair("r", "s", "z", "b"),
        helper.make_node("Softmax", ["b"], ["y"], axis=-1),
    ]
    constants = {"s": np.float32(0.037), "z": np.uint8(128)}
    proto = bundles.model(nodes, [("x", F32, [4, 10])], [("y", F32, [4, 10])], constants)
    result = bundles.compiled(proto, "int8", groups=[("r",), ("y",)])
    assert result.notes["float16_borders"] == 2  # into the softmax and out of it
    path = bundles.bundle(tmp_path / "island.rknnctx", proto, "int8", groups=[("r",), ("y",)])
    x = RNG.standard_normal((4, 10)).astype(np.float32)
    codes = np.maximum(np.rint(x / np.float32(0.037)), 0)
    values = half(codes.astype(np.float32) * np.float32(0.037))
    powers = np.exp(values - values.max(-1, keepdims=True))
    expected = half(powers / powers.sum(-1, keepdims=True))
    with Context(library, path) as context:
        assert (context.attr(driver.INPUT_ATTR).type, context.attr(driver.OUTPUT_ATTR).type) == (driver.INT8, driver.FLOAT16)
        got = context(x)[0]
    np.testing.assert_array_equal(got, half(got))
    np.testing.assert_allclose(got, expected, rtol=2**-10)


def test_float16_models_keep_float16_at_the_border(library: ctypes.CDLL, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["x"], ["xf"], to=F32),
        helper.make_node("Exp", ["xf"], ["e"]),
        helper.make_node("Cast", ["e"], ["y"], to=TensorProto.FLOAT16),
    ]
    proto = bundles.model(nodes, [("x", TensorProto.FLOAT16, [3])], [("y", TensorProto.FLOAT16, [3])])
    path = bundles.bundle(tmp_path / "half.rknnctx", proto)
    x = np.array([0, 1, 20], np.float16)
    with Context(library, path) as context:
        context.set_inputs([x])
        context.run()
        got = context.get_outputs(want_float=False)[0]
    np.testing.assert_array_equal(got, np.array([1, np.float16(np.exp(np.float32(1))), np.inf], np.float16))


def test_every_float16_number_survives_the_border(library: ctypes.CDLL, tmp_path: Path) -> None:
    path = bundles.bundle(tmp_path / "abs.rknnctx", bundles.relu((65536,)))
    numbers = np.arange(65536, dtype=np.uint32).astype(np.uint16).view(np.float16)
    numbers = np.where(np.isnan(numbers), np.float16(1), numbers)
    with Context(library, path) as context:
        context.set_inputs([numbers])
        context.run()
        got = context.get_outputs(want_float=False)[0]
    np.testing.assert_array_equal(got, np.maximum(numbers, np.float16(0)))


def test_float32_outputs_round_to_float16_as_numpy_does(library: ctypes.CDLL, tmp_path: Path) -> None:
    proto = bundles.model([helper.make_node("Relu", ["x"], ["y"])], [("x", F32, [4096])], [("y", F32, [4096])])
    path = bundles.bundle(tmp_path / "relu.rknnctx", proto)
    bits = RNG.integers(0, 0x47800000, 4096).astype(np.uint32)
    x = bits.view(np.float32)
    with Context(library, path) as context:
        context.set_inputs([x])
        context.run()
        got = context.get_outputs(want_float=False)[0]
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(got, x.astype(np.float16))
