"""Sessions and the library over time: leaks, fork, and processes that end at the wrong moment."""

import gc
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import rknn_ep
from rknn_ep.api import EP_NAME
from rknn_ep_onnxruntime import registration
from tests.onnxruntime.harness import mul_and_sin, mul_bundle, on_npu, open_session, random, run_python

START = """
from pathlib import Path
import os, sys, threading
import numpy as np, onnxruntime as ort, rknn_ep
from tests.onnxruntime.harness import HandPlanner, mul_and_sin, open_session, random
from rknn_ep_onnxruntime import native
rknn_ep.register()
made = HandPlanner(partitions=[(("Mul",), Path({bundle!r}))])
callback = native.PlanFunction(made.answer)
native.library().rknn_ep_set_planner(callback)
session = open_session(mul_and_sin())
x = random()
assert np.allclose(session.run(None, {{"x": x}})[0], np.sin(3 * x), rtol=0, atol=2**-22)
"""


def run_with_session(tmp_path, script: str):
    """A process that has a live session on the NPU and then does what the test says."""
    done = run_python(START.format(bundle=str(mul_bundle(tmp_path))) + script)
    assert done.returncode == 0, f"{done.returncode}: {done.stderr}"
    return done


def resident() -> int:
    """Bytes of memory that the process has now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_registering_and_unregistering_repeatedly_does_not_leak():
    """In a process of its own: what other tests left would hide in, or show up as, memory of this one."""
    code = """
import onnxruntime as ort, rknn_ep
def cycle(times):
    for _ in range(times):
        rknn_ep.unregister()
        assert rknn_ep.get_ep_name() not in {device.ep_name for device in ort.get_ep_devices()}
        rknn_ep.register()
        assert rknn_ep.get_ep_name() in {device.ep_name for device in ort.get_ep_devices()}
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
rknn_ep.register()
cycle(300)  # allocators and caches fill during the first ones
for _ in range(4):
    before = resident()
    cycle(300)
    print((resident() - before) / 300)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    growth = [float(line) for line in result.stdout.splitlines()]
    # Bytes a cycle. Python takes memory by the MiB now and then; a leaked factory or device would show every time.
    assert min(growth) < 256, growth


def test_sessions_do_not_leak(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    model, x = mul_and_sin(), random()

    def cycle(times: int) -> None:
        for _ in range(times):
            open_session(model, {"contexts": "2"}).run(None, {"x": x})
            planner.models.clear()
            planner.options.clear()
        gc.collect()

    cycle(30)
    before = resident()
    cycle(100)
    assert resident() - before < 100 * 16 * 1024  # a leaked context holds an ONNX Runtime session, over 100 KiB


def test_runs_do_not_leak(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    session, x = open_session(mul_and_sin()), random()

    def cycle(times: int) -> None:
        for _ in range(times):
            session.run(None, {"x": x})

    cycle(1000)
    before = resident()
    cycle(20_000)
    assert resident() - before < 400 * 1024  # 20 bytes a run: less than the smallest allocation


def test_failed_sessions_do_not_leak(planner):
    def act(plan, model):
        raise ValueError("no")

    planner.act = act

    def cycle(times: int) -> None:
        for _ in range(times):
            with pytest.raises(Exception, match="no"):
                open_session(mul_and_sin())
            planner.models.clear()
            planner.interrupted.clear()
        gc.collect()

    cycle(30)
    before = resident()
    cycle(100)
    assert resident() - before < 100 * 16 * 1024


def test_a_session_outlives_the_unregistering_of_its_library(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    session, x = open_session(mul_and_sin()), random()
    expected = session.run(None, {"x": x})[0]
    registration.unregister()
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected)
    registration.register()
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], expected)
    assert on_npu(session) == ["Mul"]


def test_after_unregistering_onnxruntime_no_longer_knows_the_provider():
    rknn_ep.unregister()
    rknn_ep.unregister()
    try:
        assert EP_NAME not in ort.get_available_providers()
    finally:
        rknn_ep.register()


def test_the_interpreter_ends_with_a_live_session(tmp_path):
    run_with_session(tmp_path, "")


def test_the_interpreter_ends_through_an_exception_and_sys_exit(tmp_path):
    run_with_session(tmp_path, "import atexit; atexit.register(lambda: session.run(None, {'x': x})); sys.exit(0)")


def test_a_forked_child_gets_a_clear_error_and_ends_cleanly(tmp_path):
    """It ends as multiprocessing's children do: ONNX Runtime itself hangs in a forked child that runs Python's finalisers."""
    run_with_session(
        tmp_path,
        """
child = os.fork()
if child == 0:
    code = 4
    try:
        session.run(None, {"x": x})
    except Exception as error:
        code = 0 if "does not survive fork()" in str(error) else 3
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)
""",
    )


def test_a_forked_child_can_make_a_session_of_its_own(tmp_path):
    run_with_session(
        tmp_path,
        """
child = os.fork()
if child == 0:
    own = open_session(mul_and_sin())
    os._exit(0 if np.allclose(own.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22) else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)
""",
    )


def test_processes_of_a_forked_pool_work_on_sessions_of_their_own(tmp_path):
    run_with_session(
        tmp_path,
        """
import multiprocessing
def work(seed):
    mine = open_session(mul_and_sin())
    value = random(seed=seed)
    return bool(np.allclose(mine.run(None, {"x": value})[0], np.sin(3 * value), rtol=0, atol=2**-22))
with multiprocessing.get_context("fork").Pool(2) as pool:
    assert all(pool.map(work, range(6)))
""",
    )


def test_a_child_forked_while_threads_run_ends(tmp_path):
    run_with_session(
        tmp_path,
        """
stop = threading.Event()
def loop():
    while not stop.is_set():
        session.run(None, {"x": x})
threads = [threading.Thread(target=loop) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
for thread in threads:
    thread.join()
""",
    )
