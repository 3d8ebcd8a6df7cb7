"""Runs that do not block: the asynchronous mask's previous frame, rknn_wait, timeouts, and a thread per context."""

from __future__ import annotations

import ctypes
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.simulator import bundles, driver
from tests.simulator.driver import Context, RknnError, RunExtend

SHAPE = (1, 3, 4, 5)


def frame(number: int) -> np.ndarray:
    return np.full(SHAPE, number, np.float32)


@pytest.fixture(scope="module")
def relu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("relu") / "relu.rknnctx", bundles.relu(SHAPE))


def chain() -> onnx.ModelProto:
    """A model of some hundred milliseconds: a chain of matrix products."""
    size = 1024
    nodes = [helper.make_node("MatMul", [f"x{i}" if i else "x", "w"], [f"x{i + 1}" if i < 9 else "y"]) for i in range(10)]
    tensor = TensorProto.FLOAT, [size, size]
    constants = {"w": np.eye(size, dtype=np.float32)}
    return bundles.model(nodes, [("x", *tensor)], [("y", *tensor)], constants)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("slow") / "slow.rknnctx", chain())


def test_the_asynchronous_mask_gives_the_previous_frame_but_the_first(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu, flag=driver.FLAG_ASYNC_MASK) as context:
        seen = []
        for number in range(1, 6):
            context.set_inputs([frame(number)])
            extend = RunExtend()
            context.run(extend)
            assert extend.frame_id == number
            seen.append(float(context.get_outputs()[0].flat[0]))
            assert float(context.get_outputs()[0].flat[0]) == seen[-1]
        assert seen == [1, 1, 2, 3, 4]


def test_a_run_that_does_not_block_ends_with_rknn_wait_or_with_its_outputs(library: ctypes.CDLL, slow: Path) -> None:
    with Context(library, slow) as context:
        x = np.random.default_rng(0).standard_normal((1024, 1024)).astype(np.float32)
        for finish in ("rknn_wait", "rknn_outputs_get"):
            context.set_inputs([x])
            context.run(RunExtend(non_block=1))
            if finish == "rknn_wait":
                context.call("rknn_wait", None)
            np.testing.assert_allclose(context.get_outputs()[0], x.astype(np.float16).astype(np.float32))


def test_a_timeout_is_an_error_and_the_run_goes_on(library: ctypes.CDLL, slow: Path) -> None:
    with Context(library, slow) as context:
        x = np.ones((1024, 1024), np.float32)
        context.set_inputs([x])
        for attempt in (
            lambda: context.run(RunExtend(timeout_ms=1)),
            lambda: context.call("rknn_wait", ctypes.byref(RunExtend(timeout_ms=1))),
        ):
            with pytest.raises(RknnError) as error:
                attempt()
            assert error.value.code == driver.TIMEOUT
        assert (context.get_outputs()[0] == 1).all()
        context.run(RunExtend(timeout_ms=600_000))
        assert (context.get_outputs()[0] == 1).all()


def test_rknn_wait_before_any_run_is_an_error(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu) as context, pytest.raises(RknnError) as error:
        context.call("rknn_wait", None)
    assert error.value.code == driver.FAIL


def test_a_context_may_be_destroyed_while_it_runs(library: ctypes.CDLL, slow: Path) -> None:
    context = Context(library, slow)
    context.set_inputs([np.ones((1024, 1024), np.float32)])
    context.run(RunExtend(non_block=1))
    context.destroy()


def test_contexts_and_duplicates_run_in_threads_of_their_own(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu) as first:
        contexts = [first, first.duplicate(), first.duplicate(), Context(library, relu)]
        wrong: list[int] = []

        def work(context: Context, number: int) -> None:
            for step in range(200):
                value = number * 1000 + step
                if float(context(frame(value))[0].flat[-1]) != np.float16(value):
                    wrong.append(value)

        threads = [threading.Thread(target=work, args=(context, i)) for i, context in enumerate(contexts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
        for context in contexts[1:]:
            context.destroy()


def test_one_context_may_be_used_by_several_threads(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu) as context:
        context.set_inputs([frame(7)])

        def work() -> None:
            for _ in range(200):
                context.run()
                assert (context.get_outputs(prealloc=True)[0] == 7).all()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
