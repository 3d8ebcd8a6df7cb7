"""The provider's memory as OrtValues, and asynchronous runs of ONNX Runtime."""

import ctypes
import threading
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from onnx import helper

from rknn_ep.api import EP_NAME
from rknn_ep.artifact.bundle import Bundle
from rknn_ep_onnxruntime import python_executor
from tests.onnxruntime.harness import (
    SHAPE,
    VERSION,
    HandPlanner,
    bundle_of,
    make_model,
    mul_and_sin,
    mul_bundle,
    on_npu,
    open_session,
    random,
)
from tests.required import missing


def doubling() -> object:
    return make_model([helper.make_node("Add", ["x", "x"], ["y"])], {"x": SHAPE}, {"y": SHAPE})


def provider_memory() -> ort.OrtMemoryInfo:
    if VERSION < (1, 24) or not hasattr(ort, "OrtDeviceMemoryType"):
        missing("onnxruntime", "the Python of this one has no memory of providers")
    [device] = [one for one in ort.get_ep_devices() if one.ep_name == EP_NAME]
    return device.memory_info(ort.OrtDeviceMemoryType.HOST_ACCESSIBLE)


def value(shape=SHAPE, dtype=np.float32) -> ort.OrtValue:
    return ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, memory_info=provider_memory())


def view(one: ort.OrtValue) -> np.ndarray:
    """The value's memory, not a copy of it."""
    memory = (ctypes.c_char * one.tensor_size_in_bytes()).from_address(one.data_ptr())
    return np.frombuffer(memory, np.float32).reshape(one.shape())


def test_bound_values_of_the_provider_reach_the_partition_at_their_own_address(planner: HandPlanner, tmp_path: Path) -> None:
    seen = []

    class Executor:
        def run(self, inputs):
            seen.append(inputs[0].ctypes.data)
            return [2 * inputs[0]]

        def close(self) -> None:
            pass

    model = doubling()
    bundle = bundle_of(tmp_path, model)
    text = Bundle.open(bundle).read("native.txt").decode()

    def act(plan, _) -> None:
        planner.add(plan, [0], bundle)
        python_executor.attach(plan, Executor(), text)

    planner.act = act
    session = open_session(model)
    assert on_npu(session) == ["Add"]
    x, y = value(), value()
    view(x)[...] = random()
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_ortvalue_output("y", y)
    for _ in range(3):
        session.run_with_iobinding(binding)
    assert set(seen) == {x.data_ptr()}
    np.testing.assert_array_equal(view(y), 2 * random())


@pytest.mark.parametrize("io_mode", ["general", "zero_copy"])
def test_the_simulator_computes_in_bound_memory(planner: HandPlanner, tmp_path: Path, io_mode: str) -> None:
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    session = open_session(mul_and_sin(), {"io_mode": io_mode})
    assert on_npu(session) == ["Mul"]
    x = value()
    given = random().astype(np.float16).astype(np.float32)
    view(x)[...] = given
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_output("z")
    session.run_with_iobinding(binding)
    # float16 memory rounds 3 x: half a step of values below 16
    np.testing.assert_allclose(binding.copy_outputs_to_cpu()[0], np.sin(3 * given), rtol=0, atol=2**-8)


def test_values_outlive_their_session(planner: HandPlanner, tmp_path: Path) -> None:
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    x = value()
    assert x.data_ptr() % 64 == 0
    session = open_session(mul_and_sin())
    view(x)[...] = 1
    del session
    assert view(x).sum() == np.prod(SHAPE)
    for size in (1, 63, 64, 4097):
        one = value((size,))
        view(one)[...] = size
        assert view(one)[-1] == size


@pytest.mark.parametrize("contexts", ["1", "2"])
def test_run_async_gives_every_caller_its_own_result(planner: HandPlanner, tmp_path: Path, contexts: str) -> None:
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    session = open_session(mul_and_sin(), {"contexts": contexts}, threads=3)  # run_async works on the session's threads
    count = 60
    results: dict[int, object] = {}
    done = threading.Semaphore(0)

    def arrived(outputs, index, error) -> None:
        results[index] = error or outputs[0]
        done.release()

    for index in range(count):
        session.run_async(["z"], {"x": random(seed=index)}, arrived, index)
    for _ in range(count):
        assert done.acquire(timeout=60)
    for index in range(count):
        np.testing.assert_allclose(results[index], np.sin(3 * random(seed=index)), rtol=0, atol=2**-20)
