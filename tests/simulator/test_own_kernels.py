"""`fast` on x64 without VNNI: which operators become our own kernels, and that nothing is lost by it.

The same equality holds for ONNX Runtime's kernels, which other processors take: these tests pass everywhere.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.simulator import bundles, convolutions
from tests.simulator.convolutions import Case, Shape
from tests.simulator.driver import Context

Array = np.ndarray[Any, Any]
FAST = "simulation=fast"


def run(library: ctypes.CDLL, path: Path, x: Array, options: str = FAST) -> Array:
    with Context(library, path, options=options) as context:
        return context(x)[0]


def own_operators(proto: onnx.ModelProto) -> list[str]:
    entries = bundles.compiled(proto, "int8").entries
    model = onnx.load_model_from_string(entries["simulation_avx2.onnx"])
    return sorted(node.op_type for node in model.graph.node if node.domain == "rknn_ep")


def hard_swish() -> onnx.ModelProto:
    """Convolution, HardSwish, times a number, plus a number, larger, convolution; the convolutions' scales are powers of two."""
    rng = np.random.default_rng(5)
    shape, out = (1, 8, 6, 7), (1, 4, 18, 14)
    nodes = [
        *bundles.pair("x", "xs", "xz", "xd"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]),
        helper.make_node("Conv", ["xd", "wd"], ["c"]),
        *bundles.pair("c", "cs", "cz", "cd"),
        helper.make_node("HardSigmoid", ["cd"], ["h"], alpha=1 / 6, beta=0.5),
        helper.make_node("Mul", ["cd", "h"], ["hs"]),
        *bundles.pair("hs", "hss", "hsz", "hsd"),
        helper.make_node("Mul", ["hsd", "factor"], ["m"]),
        *bundles.pair("m", "ms", "mz", "md"),
        helper.make_node("Add", ["md", "term"], ["a"]),
        *bundles.pair("a", "as", "az", "ad"),
        helper.make_node(
            "Resize",
            ["ad", "", "sizes"],
            ["r"],
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        ),
        *bundles.pair("r", "as", "az", "rd"),
        helper.make_node("DequantizeLinear", ["w2", "ws", "wz"], ["w2d"]),
        helper.make_node("Conv", ["rd", "w2d"], ["c2"]),
        *bundles.pair("c2", "ys", "yz", "y"),
    ]
    constants = {
        "xs": np.float32(2**-6), "xz": np.uint8(128), "w": rng.integers(-127, 128, (16, 8, 1, 1)).astype(np.int8),
        "ws": np.float32(2**-6), "wz": np.int8(0), "cs": np.float32(2**-4), "cz": np.uint8(120), "hss": np.float32(0.03),
        "hsz": np.uint8(13), "factor": np.float32(1.3), "ms": np.float32(0.041), "mz": np.uint8(10), "term": np.float32(-0.7),
        "w2": rng.integers(-127, 128, (4, 16, 1, 1)).astype(np.int8), "ys": np.float32(2**-4), "yz": np.uint8(128),
        "as": np.float32(2**-5), "az": np.uint8(30), "sizes": np.asarray([1, 1, 3, 2], np.float32),
    }  # fmt: skip
    return bundles.model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, out)], constants)


def test_pictures_are_quantised_as_onnx_runtime_does_it(library: ctypes.CDLL, tmp_path: Path) -> None:
    """One to four channels, through a convolution that changes nothing: ties, infinities, what is no number, odd sizes."""
    import onnxruntime

    rng = np.random.default_rng(4)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, Any] = {}
    inputs, outputs, pictures, expected = [], [], [], []
    for i, (shape, zero) in enumerate([((1, 1, 3, 5), 0), ((2, 2, 7, 9), 255), ((1, 3, 133, 129), 77), ((2, 4, 5, 8), 128)]):
        scale, channels = np.float32(0.1), shape[1]
        x = np.where(rng.random(shape) < 0.5, rng.normal(0, 10, shape), rng.integers(-300, 300, shape) * 0.05)
        x = np.where(rng.random(shape) < 0.1, rng.choice([np.nan, np.inf, -np.inf, 2.0**31, -1e20], shape), x).astype(np.float32)
        x[0, 0, 0] = (np.arange(shape[3]) - 2 + 0.5) * scale
        quantized = [
            *bundles.pair(f"x{i}", f"s{i}", f"z{i}", f"d{i}"),
            helper.make_node("DequantizeLinear", [f"w{i}", f"one{i}", f"none{i}"], [f"wd{i}"]),
            helper.make_node("Conv", [f"d{i}", f"wd{i}"], [f"c{i}"]),
            *bundles.pair(f"c{i}", f"s{i}", f"z{i}", f"y{i}"),
        ]
        constants |= {
            f"s{i}": scale, f"z{i}": np.uint8(zero), f"w{i}": np.eye(channels, dtype=np.int8)[:, :, None, None],
            f"one{i}": np.float32(1), f"none{i}": np.int8(0),
        }  # fmt: skip
        alone = bundles.model(
            quantized[:1], [(f"x{i}", TensorProto.FLOAT, shape)], [(f"x{i}_q", TensorProto.UINT8, shape)],
            {name: constants[name] for name in (f"s{i}", f"z{i}")},
        )  # fmt: skip
        session = onnxruntime.InferenceSession(alone.SerializeToString(), providers=["CPUExecutionProvider"])
        expected.append((session.run(None, {f"x{i}": x})[0].astype(np.float32) - zero) * scale)
        nodes += quantized
        pictures.append(x)
        inputs.append((f"x{i}", TensorProto.FLOAT, shape))
        outputs.append((f"y{i}", TensorProto.FLOAT, shape))
    proto = bundles.model(nodes, inputs, outputs, constants)
    assert own_operators(proto) == ["Convolution"] * 4 + ["QuantizePicture"] * 4
    path = bundles.bundle(tmp_path / "pictures.rknnctx", proto, "int8")
    for options in (FAST, f"{FAST}\nsimulation_threads=2"):
        with Context(library, path, options=options) as context:
            for got, wanted in zip(context(*pictures), expected, strict=True):
                np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("rows", [1, 13])
def test_products_of_matrices_with_constant_weights(library: ctypes.CDLL, tmp_path: Path, rows: int) -> None:
    """A Gemm as PyTorch exports it is a convolution of pixels, with the same integer sums and one float32 product."""
    rng = np.random.default_rng(rows)
    depth, outputs, x_zero, y_zero, x_scale = 75, 37, 140, 20, np.float32(0.02)
    codes, weights = rng.integers(0, 256, (rows, depth)), rng.integers(-128, 128, (outputs, depth)).astype(np.int8)
    bias, w_scale = rng.integers(-5000, 5000, outputs).astype(np.int32), rng.uniform(0.001, 0.01, outputs).astype(np.float32)
    sums = (codes - x_zero) @ weights.astype(np.int64).T + bias
    y_scale = np.float32(np.abs(sums * (x_scale * w_scale)).max() / 200)
    expected = np.clip(np.rint(sums.astype(np.float32) * ((x_scale * w_scale) / y_scale).astype(np.float32)) + y_zero, 0, 255)
    nodes = [
        *bundles.pair("x", "xs", "xz", "xd"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
        helper.make_node("Gemm", ["xd", "wd", "bd"], ["g"], transB=1),
        *bundles.pair("g", "ys", "yz", "y"),
    ]
    constants = {
        "xs": x_scale, "xz": np.uint8(x_zero), "w": weights, "ws": w_scale, "wz": np.zeros(outputs, np.int8), "b": bias,
        "bs": x_scale * w_scale, "bz": np.zeros(outputs, np.int32), "ys": y_scale, "yz": np.uint8(y_zero),
    }  # fmt: skip
    proto = bundles.model(
        nodes, [("x", TensorProto.FLOAT, (rows, depth))], [("y", TensorProto.FLOAT, (rows, outputs))], constants
    )
    assert own_operators(proto) == ["Convolution"]
    path = bundles.bundle(tmp_path / "gemm.rknnctx", proto, "int8")
    got = run(library, path, (codes - x_zero).astype(np.float32) * x_scale)
    np.testing.assert_array_equal(np.rint(got / y_scale) + y_zero, expected)


def test_scales_whose_results_no_integer_holds_stay_with_onnx_runtime(library: ctypes.CDLL, tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    drawn = Case.draw(Shape((1, 16, 5, 6), (8, 16, 3, 3)), rng)
    case = Case(**{**drawn.__dict__, "y_scale": np.float32(1e-10)})
    proto = convolutions.model([case])
    path = bundles.bundle(tmp_path / "steep.rknnctx", proto, "int8")
    assert "simulation_avx2.onnx" not in bundles.compiled(proto, "int8").entries
    np.testing.assert_array_equal(case.got(run(library, path, case.values)), case.expected())


def test_chains_of_elementwise_operators_are_one_look_up_and_lose_nothing(library: ctypes.CDLL, tmp_path: Path) -> None:
    proto = hard_swish()
    assert own_operators(proto) == ["Convolution", "Convolution", "Lookup", "Repeat"]
    path = bundles.bundle(tmp_path / "chain.rknnctx", proto, "int8")
    x = np.random.default_rng(0).uniform(-2.5, 2.5, (1, 8, 6, 7)).astype(np.float32)
    # Powers of two multiply exactly, so that both modes round the same numbers; the tables are the same arithmetic.
    np.testing.assert_array_equal(run(library, path, x), run(library, path, x, "simulation=exact"))


def test_a_value_read_by_a_chain_and_by_others_is_kept(library: ctypes.CDLL, tmp_path: Path) -> None:
    """SiLU whose sigmoid is also an output."""
    nodes = [
        *bundles.pair("x", "xs", "xz", "xd"),
        helper.make_node("Sigmoid", ["xd"], ["s"]),
        *bundles.pair("s", "ss", "sz", "sd"),
        helper.make_node("Mul", ["xd", "sd"], ["m"]),
        *bundles.pair("m", "ms", "mz", "y"),
    ]
    nodes[4].output[0] = "gate"
    nodes[5].input[1] = "gate"
    constants = {
        "xs": np.float32(0.05), "xz": np.uint8(128), "ss": np.float32(1 / 255), "sz": np.uint8(0),
        "ms": np.float32(0.03), "mz": np.uint8(10),
    }  # fmt: skip
    shape = (1, 4, 5, 6)
    proto = bundles.model(
        nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape), ("gate", TensorProto.FLOAT, shape)], constants
    )
    assert own_operators(proto) == ["Lookup", "Lookup"]
    x = np.random.default_rng(0).uniform(-6, 6, shape).astype(np.float32)
    path = bundles.bundle(tmp_path / "silu.rknnctx", proto, "int8")
    results = {}
    for mode in ("fast", "exact"):
        with Context(library, path, options=f"simulation={mode}") as context:
            results[mode] = context(x)
    for fast, exact in zip(results["fast"], results["exact"], strict=True):
        np.testing.assert_array_equal(fast, exact)


def test_no_entry_holds_a_tensor_that_nothing_reads(library: ctypes.CDLL, tmp_path: Path) -> None:
    """ONNX Runtime drops such tensors, and then it cannot find the weights that are handed to it from memory."""
    rng, channels = np.random.default_rng(2), 320  # scales and biases of so many leave the model for the file of weights
    nodes = [
        *bundles.pair("x", "xs", "xz", "xd"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"]),
        *bundles.pair("c", "xs", "xz", "y"),
    ]
    scales = rng.uniform(0.001, 0.01, channels).astype(np.float32)
    constants = {
        "xs": np.float32(2**-4), "xz": np.uint8(128), "w": rng.integers(-127, 128, (channels, 8, 1, 1)).astype(np.int8),
        "ws": scales, "wz": np.zeros(channels, np.int8), "b": rng.integers(-500, 500, channels).astype(np.int32),
        "bs": scales * np.float32(2**-4), "bz": np.zeros(channels, np.int32),
    }  # fmt: skip
    shape, out = (1, 8, 6, 7), (1, channels, 6, 7)
    proto = bundles.model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, out)], constants)
    assert own_operators(proto) == ["Convolution"]
    models = {name: content for name, content in bundles.compiled(proto, "int8").entries.items() if name.endswith(".onnx")}
    assert len(models) == 3
    for name, content in models.items():
        graph = onnx.load_model_from_string(content).graph
        read = {value for node in graph.node for value in node.input} | {value.name for value in graph.output}
        assert {tensor.name for tensor in graph.initializer} <= read, name
    in_memory = bundles.bundle(tmp_path / "wide.rknnctx", proto, "int8").read_bytes()
    x = rng.uniform(-2, 2, shape).astype(np.float32)
    with Context(library, in_memory, options=FAST) as context:
        np.testing.assert_array_equal(context(x)[0], run(library, tmp_path / "wide.rknnctx", x))


def test_other_runtimes_can_still_run_every_entry_but_the_one_for_own_kernels() -> None:
    import onnxruntime

    entries = bundles.compiled(hard_swish(), "int8").entries
    for name in ("simulation.onnx", "simulation_exact.onnx"):
        model = onnx.load_model_from_string(entries[name])
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    with pytest.raises(Exception, match="rknn_ep"):
        onnxruntime.InferenceSession(entries["simulation_avx2.onnx"], providers=["CPUExecutionProvider"])
