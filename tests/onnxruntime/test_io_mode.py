"""The option io_mode: copied tensors and the device's own memory give the same bits, and SoCs that only have the latter run."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from rknn_ep.quantization.metrics import cosine
from tests.onnxruntime.harness import (
    SHAPE,
    HandPlanner,
    bundle_of,
    make_model,
    mul_and_sin,
    mul_bundle,
    on_npu,
    open_session,
    random,
)

ZERO_COPY_ONLY = ("rv1103", "rv1103b", "rv1106", "rv1106b", "rk2118")
CHANNELS = (3, 6)
"""Of the input: with 3 the device's memory is NHWC with padded rows, with 6 it is NC1HWC2 with padded channels."""
WIDTH = 21
"""A multiple of no alignment."""


def two_headed(channels: int) -> onnx.ModelProto:
    """Conv-Relu-Conv on [1,channels,9,WIDTH] to an image of 20 channels, and from there to a row of 10 numbers."""
    generator = np.random.default_rng(3)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(generator.normal(0, np.prod(shape[1:]) ** -0.5, shape).astype(np.float32), name)

    return make_model(
        [
            helper.make_node("Conv", ["x", "w0"], ["c0"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c0"], ["r0"]),
            helper.make_node("Conv", ["r0", "w1"], ["image"], pads=[1, 1, 1, 1]),
            helper.make_node("GlobalAveragePool", ["image"], ["p"]),
            helper.make_node("Flatten", ["p"], ["f"]),
            helper.make_node("Gemm", ["f", "w2"], ["row"], transB=1),
        ],
        {"x": (1, channels, 9, WIDTH)},
        {"image": (1, 20, 9, WIDTH), "row": (1, 10)},
        [weight("w0", 16, channels, 3, 3), weight("w1", 20, 16, 3, 3), weight("w2", 10, 20)],
    )


@dataclass
class Prepared:
    """One model with what its sessions need."""

    model: onnx.ModelProto
    x: np.ndarray
    options: dict[str, str]

    def session(self, **options: str) -> ort.InferenceSession:
        return open_session(self.model, {**self.options, **options})


@pytest.fixture(scope="module")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Prepared]:
    """The model for a number of input channels; all sessions share a cache, so that modes run the same bundle."""
    folder = tmp_path_factory.mktemp("io_mode")

    def prepared(channels: int) -> Prepared:
        path = folder / f"{channels}.npz"
        samples = np.random.default_rng(channels).normal(size=(8, channels, 9, WIDTH)).astype(np.float32)
        if not path.exists():
            np.savez(path, x=samples)
        common = {"calibration": str(path), "cache_dir": str(folder / "cache"), "min_partition_macs": "0", "strict": "1"}
        # Wider than the calibration's range, so that codes saturate at both ends.
        return Prepared(two_headed(channels), 2 * samples[:1] + 0.01, common)

    return prepared


def test_every_soc_without_copying_functions_runs_in_8_bits_or_as_it_can(prepare: Callable[[int], Prepared]) -> None:
    prepared = prepare(3)
    cpu = ort.InferenceSession(prepared.model.SerializeToString(), providers=["CPUExecutionProvider"])
    x = prepared.x / 4
    for target in ZERO_COPY_ONLY:
        # the compiler refuses every quantised Conv of RK2118
        session = prepared.session(target=target, precision="fp16" if target == "rk2118" else "int8")
        assert on_npu(session) == ["Conv", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"], target
        for got, expected in zip(session.run(None, {"x": x}), cpu.run(None, {"x": x}), strict=True):
            # a misplaced row or channel takes this below 0.9; 8-bit roundings of a random model leave 0.998
            assert cosine(got, expected) > 0.99, target


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("precision", ["int8", "int16", "fp16"])
@pytest.mark.parametrize("simulation", ["fast", "exact"])
def test_both_flows_give_the_same_bits(
    prepare: Callable[[int], Prepared], channels: int, precision: str, simulation: str
) -> None:
    prepared = prepare(channels)
    results = []
    for mode in ("general", "zero_copy"):
        session = prepared.session(target="rk3588", precision=precision, simulation=simulation, io_mode=mode)
        assert on_npu(session) == ["Conv", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"]
        results.append(session.run(None, {"x": prepared.x}))
    for general, zero_copy in zip(*results, strict=True):
        assert np.ptp(general) > 0
        np.testing.assert_array_equal(zero_copy, general)


def test_a_small_soc_computes_what_a_large_one_does(prepare: Callable[[int], Prepared]) -> None:
    prepared = prepare(6)
    large = prepared.session(target="rk3588", precision="int8", io_mode="general")
    small = prepared.session(target="rv1106", precision="int8")
    assert on_npu(small) == on_npu(large) == ["Conv", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"]
    for got, expected in zip(small.run(None, {"x": prepared.x}), large.run(None, {"x": prepared.x}), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_rk2118_runs_float16(prepare: Callable[[int], Prepared]) -> None:
    prepared = prepare(3)
    session = prepared.session(target="rk2118", precision="fp16")
    expected = prepared.session(target="rk3588", precision="fp16").run(None, {"x": prepared.x})
    assert on_npu(session) == ["Conv", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"]
    for got, wanted in zip(session.run(None, {"x": prepared.x}), expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_memory_of_one_run_does_not_leak_into_the_next_nor_into_another_context(prepare: Callable[[int], Prepared]) -> None:
    prepared = prepare(6)
    session = prepared.session(target="rv1106", precision="int8", contexts="2")
    assert on_npu(session) == ["Conv", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu"]
    inputs = [prepared.x * scale for scale in (0.1, -0.2, 0.3, -0.4)]
    expected = [session.run(["image"], {"x": x})[0] for x in inputs]
    assert len({one.tobytes() for one in expected}) == len(inputs)
    with ThreadPoolExecutor(4) as pool:
        for got, wanted in zip(pool.map(lambda x: session.run(["image"], {"x": x})[0], inputs * 10), expected * 10, strict=True):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("mode", ["auto", "general", "zero_copy"])
def test_tensors_that_are_no_real_numbers_keep_their_bits(planner: HandPlanner, tmp_path: Path, mode: str) -> None:
    shape = (1, 2, 3, 5)
    graph = helper.make_graph(
        [helper.make_node("Where", ["which", "a", "b"], ["chosen"])],
        "where",
        [
            helper.make_tensor_value_info("which", TensorProto.BOOL, shape),
            helper.make_tensor_value_info("a", TensorProto.INT64, shape),
            helper.make_tensor_value_info("b", TensorProto.INT64, shape),
        ],
        [helper.make_tensor_value_info("chosen", TensorProto.INT64, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    planner.partitions = [(("Where",), bundle_of(tmp_path, model))]
    session = open_session(model, {"io_mode": mode})
    assert on_npu(session) == ["Where"]
    generator = np.random.default_rng(5)
    which = generator.integers(0, 2, shape).astype(bool)
    a, b = (generator.integers(-(2**62), 2**62, shape) for _ in range(2))
    np.testing.assert_array_equal(session.run(None, {"which": which, "a": a, "b": b})[0], np.where(which, a, b))


def test_nan_and_infinity_pass_through_float16_memory(planner: HandPlanner, tmp_path: Path) -> None:
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    session = open_session(mul_and_sin(), {"io_mode": "zero_copy"})
    assert on_npu(session) == ["Mul"]
    x = random()
    x[0, 0, 0, :3] = np.nan, np.inf, -np.inf
    np.testing.assert_array_equal(np.isnan(session.run(None, {"x": x})[0][0, 0, 0]), [True, True, True, False])


def test_a_soc_without_copying_functions_refuses_to_copy(planner: HandPlanner, tmp_path: Path) -> None:
    bundle = mul_bundle(tmp_path, changes=lambda text: text.replace("copying_api=1", "copying_api=0"))
    planner.partitions = [(("Mul",), bundle)]
    for mode in ("auto", "zero_copy"):
        assert on_npu(open_session(mul_and_sin(), {"io_mode": mode})) == ["Mul"]
    with pytest.raises(Exception, match="no rknn_inputs_set and rknn_outputs_get, which io_mode=general needs"):
        open_session(mul_and_sin(), {"io_mode": "general", "strict": "1"})


def test_an_unknown_mode_is_refused(planner: HandPlanner, tmp_path: Path) -> None:
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    with pytest.raises(Exception, match="'io_mode' is auto, general or zero_copy, not 'fast'"):
        open_session(mul_and_sin(), {"io_mode": "fast", "strict": "1"})


def test_an_ahead_of_time_model_takes_the_mode(planner: HandPlanner, tmp_path: Path) -> None:
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    compiled = tmp_path / "ctx.onnx"
    open_session(mul_and_sin(), config={"ep.context_enable": "1", "ep.context_file_path": str(compiled)})
    x = random().astype(np.float16).astype(np.float32)
    results = []
    for mode in ("general", "zero_copy"):
        session = open_session(compiled, {"io_mode": mode})
        assert on_npu(session) == ["EPContext"]
        results.append(session.run(None, {"x": x})[0])
    assert results[0].shape == SHAPE
    # this bundle rounds nothing itself, memory of float16 does: half a step of values below 16
    np.testing.assert_allclose(results[1], results[0], rtol=0, atol=2**-8)
    assert not np.array_equal(results[1], results[0])
