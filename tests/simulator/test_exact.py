"""simulation=exact against integer references in numpy: equal, element by element."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper

from tests.simulator import bundles
from tests.simulator.driver import Context

F32 = TensorProto.FLOAT
Array = np.ndarray[Any, Any]


def requantized(total: Array, multiplier: Any, scale: float, zero: int) -> Array:
    """int64 sums -> the float32 values that a uint8 output dequantises to."""
    real = total.astype(np.float32) * np.asarray(multiplier, np.float32)
    codes = np.clip(np.rint(real / np.float32(scale)) + zero, 0, 255)
    return np.asarray((codes - zero).astype(np.float32) * np.float32(scale))


def run(library: ctypes.CDLL, path: Path, *arrays: Array, options: str = "simulation=exact") -> Array:
    with Context(library, path, options=options) as context:
        return context(*arrays)[0]


def convolution(
    seed: int, channels: int, kernel: int, size: int, out: int, extreme: bool = False, x_zero: int = 113
) -> tuple[Any, Array, Array]:
    """(model, x, what it must give)."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(-127, 128, (out, channels, kernel, kernel)).astype(np.int8)
    if extreme:
        weights = np.abs(weights)
        weights[0] = 127
    bias = rng.integers(-20000, 20000, out).astype(np.int32)
    w_scale = rng.uniform(0.001, 0.01, out).astype(np.float32)
    x_scale = np.float32(0.0213)
    codes = rng.integers(0, 256, (1, channels, size, size))
    if extreme:
        codes[0, :, :kernel, :kernel] = 255
    windows = sliding_window_view(codes[0] - x_zero, (kernel, kernel), axis=(1, 2))
    total = np.einsum("chwij,ocij->ohw", windows, weights.astype(np.int64)) + bias[:, None, None]
    multiplier = (x_scale * w_scale).astype(np.float32)[:, None, None]
    y_scale = float(np.float32(np.abs(total * multiplier).max() / 150))
    proto = bundles.quantized_conv(weights, bias, float(x_scale), x_zero, w_scale, y_scale, 100, size)
    x = (codes - x_zero).astype(np.float32) * x_scale
    return proto, x, requantized(total, multiplier, y_scale, 100)[None]


@pytest.mark.parametrize(("channels", "kernel", "size"), [(3, 3, 20), (64, 1, 16), (32, 3, 12), (96, 5, 9)])
def test_ordinary_convolutions(library: ctypes.CDLL, tmp_path: Path, channels: int, kernel: int, size: int) -> None:
    proto, x, expected = convolution(channels, channels, kernel, size, 24)
    result = bundles.compiled(proto, "int8")
    assert (result.notes["exact_nodes"], result.notes["exact_in_integers"]) == (1, channels == 96)
    np.testing.assert_array_equal(run(library, bundles.bundle(tmp_path / "conv.rknnctx", proto, "int8"), x), expected)


def test_a_convolution_whose_sums_float32_cannot_hold(library: ctypes.CDLL, tmp_path: Path) -> None:
    proto, x, expected = convolution(1, 512, 3, 6, 8, extreme=True, x_zero=0)
    result = bundles.compiled(proto, "int8")
    assert result.notes["exact_in_integers"] == 1
    path = bundles.bundle(tmp_path / "big.rknnctx", proto, "int8")
    np.testing.assert_array_equal(run(library, path, x), expected)


def test_fast_does_not_saturate_where_products_are_large(library: ctypes.CDLL, tmp_path: Path) -> None:
    """Signed weights next to unsigned activations add up in 16 bits on AVX2 without VNNI: 2 * 255 * 127 does not fit."""
    proto, x, expected = convolution(2, 64, 3, 8, 8, extreme=True, x_zero=0)
    path = bundles.bundle(tmp_path / "large.rknnctx", proto, "int8")
    step = np.unique(np.diff(np.unique(expected))).min()
    got = run(library, path, x, options="simulation=fast")
    assert np.abs(got - expected).max() <= step * 1.001  # ORT's fused rescale may round a tie the other way: one code


@pytest.mark.parametrize("k", [64, 2000])
@pytest.mark.parametrize("form", ["MatMul", "Gemm", "GemmTransposed"])
def test_matrix_products(library: ctypes.CDLL, tmp_path: Path, form: str, k: int) -> None:
    rng = np.random.default_rng(k)
    m, n = 5, 7
    codes, weights = rng.integers(0, 256, (m, k)), rng.integers(-127, 128, (k, n)).astype(np.int8)
    bias = rng.integers(-3000, 3000, n).astype(np.int32)
    xs, ws = np.float32(0.05), rng.uniform(0.001, 0.01, n).astype(np.float32)
    total = (codes - 7) @ weights.astype(np.int64) + (bias if form != "MatMul" else 0)
    ys = float(np.float32(np.abs(total * (xs * ws)).max() / 120))
    axis = 0 if form == "GemmTransposed" else 1
    nodes = [
        *bundles.pair("x", "xs", "xz", "xd"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=axis),
        helper.make_node("DequantizeLinear", ["b", "bs"], ["bd"], axis=0),
        helper.make_node("MatMul", ["xd", "wd"], ["p"])
        if form == "MatMul"
        else helper.make_node("Gemm", ["xd", "wd", "bd"], ["p"], transB=int(axis == 0)),
        *bundles.pair("p", "ys", "yz", "y"),
    ]
    if form == "MatMul":
        del nodes[3]
    constants = {
        **{"xs": xs, "xz": np.uint8(7), "w": weights.T.copy() if axis == 0 else weights, "ws": ws, "wz": np.zeros(n, np.int8)},
        **({"b": bias, "bs": (xs * ws).astype(np.float32)} if form != "MatMul" else {}),
        **{"ys": np.float32(ys), "yz": np.uint8(128)},
    }
    proto = bundles.model(nodes, [("x", F32, [m, k])], [("y", F32, [m, n])], constants)
    assert bundles.compiled(proto, "int8").notes["exact_in_integers"] == (k == 2000)
    x = (codes - 7).astype(np.float32) * xs
    got = run(library, bundles.bundle(tmp_path / "product.rknnctx", proto, "int8"), x)
    np.testing.assert_array_equal(got, requantized(total, (xs * ws).astype(np.float32), ys, 128))


@pytest.mark.parametrize("k", [16, 400])
def test_products_of_two_activations(library: ctypes.CDLL, tmp_path: Path, k: int) -> None:
    rng = np.random.default_rng(k)
    a, b = rng.integers(0, 256, (2, 3, k)), rng.integers(0, 256, (2, k, 4))
    nodes = [
        *bundles.pair("a", "s", "z", "ad"),
        *bundles.pair("b", "s", "z", "bd"),
        helper.make_node("MatMul", ["ad", "bd"], ["p"]),
        *bundles.pair("p", "ys", "yz", "y"),
    ]
    scale = np.float32(0.02)
    total = (a - 90) @ (b - 90)
    ys = float(np.float32(np.abs(total).max() * scale * scale / 120))
    constants = {"s": scale, "z": np.uint8(90), "ys": np.float32(ys), "yz": np.uint8(128)}
    proto = bundles.model(nodes, [("a", F32, [2, 3, k]), ("b", F32, [2, k, 4])], [("y", F32, [2, 3, 4])], constants)
    path = bundles.bundle(tmp_path / "attention.rknnctx", proto, "int8")
    got = run(library, path, *((codes - 90).astype(np.float32) * scale for codes in (a, b)))
    np.testing.assert_array_equal(got, requantized(total, np.float32(scale * scale), ys, 128))


def test_an_activation_behind_the_convolution_sees_the_exact_sum(library: ctypes.CDLL, tmp_path: Path) -> None:
    proto, x, _ = convolution(5, 16, 3, 10, 8)
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    conv.output[0] = "raw"
    position = list(proto.graph.node).index(conv)
    proto.graph.node.insert(position + 1, helper.make_node("Relu", ["raw"], ["c"]))
    path = bundles.bundle(tmp_path / "relu.rknnctx", proto, "int8", groups=[("y",)])
    _, _, expected = convolution(5, 16, 3, 10, 8)
    np.testing.assert_array_equal(run(library, path, x), np.maximum(expected, 0))


def test_a_bias_on_a_grid_of_its_own_keeps_its_value(library: ctypes.CDLL, tmp_path: Path) -> None:
    proto, x, _ = convolution(6, 8, 3, 8, 4)
    scale = next(item for item in proto.graph.initializer if item.name == "bs")
    values = np.frombuffer(scale.raw_data, np.float32) * 3
    scale.raw_data = values.tobytes()
    path = bundles.bundle(tmp_path / "bias.rknnctx", proto, "int8")
    fast, exact = run(library, path, x, options="simulation=fast"), run(library, path, x)
    step = np.unique(np.diff(np.unique(exact))).min()
    assert np.abs(fast - exact).max() <= step * 1.001


def test_float_partitions_have_one_model_for_both_modes() -> None:
    result = bundles.compiled(bundles.relu())
    assert "simulation_exact.onnx" not in result.entries
    assert b"exact_model=simulation.onnx" in result.entries["native.txt"]


def test_weights_are_stored_once_for_both_models() -> None:
    proto, _, _ = convolution(7, 64, 3, 8, 32)
    result = bundles.compiled(proto, "int8")
    assert 64 * 9 * 32 <= len(result.entries["simulation.data"]) < 1.2 * 64 * 9 * 32


def test_int16_partitions_run_as_they_are(library: ctypes.CDLL, tmp_path: Path) -> None:
    scale, zero = np.float32(0.001), np.int16(0)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], domain="com.microsoft"),
        helper.make_node("Relu", ["d"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["rq"], domain="com.microsoft"),
        helper.make_node("DequantizeLinear", ["rq", "s", "z"], ["y"], domain="com.microsoft"),
    ]
    proto = bundles.model(nodes, [("x", F32, [8])], [("y", F32, [8])], {"s": scale, "z": zero})
    proto.graph.value_info.extend(
        [helper.make_tensor_value_info(name, kind, [8]) for name, kind in (("q", 5), ("d", 1), ("r", 1), ("rq", 5))]
    )
    path = bundles.bundle(tmp_path / "int16.rknnctx", proto, "int16", groups=[("y",)])
    x = np.linspace(-40, 40, 8, dtype=np.float32)
    expected = np.clip(np.rint(x / scale), 0, 32767).astype(np.float32) * scale
    for options in ("simulation=fast", "simulation=exact"):
        np.testing.assert_array_equal(run(library, path, x, options=options), expected)
