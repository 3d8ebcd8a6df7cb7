"""Threads, forks, exits and memory."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.simulator import bundles, driver
from tests.simulator.driver import Context

ROOT = Path(__file__).resolve().parents[2]


def script(code: str, *arguments: object) -> str:
    """Run Python code in a process of its own and give what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "RKNN_EP_ONNXRUNTIME": str(driver.onnxruntime_path())},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = [1, 4, 16, 16]
    proto = bundles.model(
        [helper.make_node("Mul", ["x", "x"], ["y"])], [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)]
    )
    return bundles.bundle(tmp_path_factory.mktemp("squares") / "squares.rknnctx", proto)


@pytest.mark.parametrize("duplicated", [False, True])
def test_contexts_run_at_the_same_time_without_mixing(library: ctypes.CDLL, squares: Path, duplicated: bool) -> None:
    first = Context(library, squares)

    def work(number: int) -> None:
        context = first.duplicate() if duplicated else Context(library, squares)
        x = np.full((1, 4, 16, 16), number, np.float32)
        for _ in range(100):
            np.testing.assert_array_equal(context(x)[0], x * x)
        context.destroy()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(12)))
    first.destroy()


def test_calls_on_one_context_are_serialised(library: ctypes.CDLL, squares: Path) -> None:
    with Context(library, squares) as context, ThreadPoolExecutor(4) as pool:
        x = np.full((1, 4, 16, 16), 3, np.float32)
        for result in pool.map(lambda _: context(x)[0], range(200)):
            np.testing.assert_array_equal(result, x * x)


def test_several_threads_give_the_same_numbers_as_one(library: ctypes.CDLL, squares: Path) -> None:
    x = np.random.default_rng(0).standard_normal((1, 4, 16, 16)).astype(np.float32)
    results = []
    for options in ("simulation_threads=1", "simulation_threads=2"):
        with Context(library, squares, options=options) as context:
            results.append(context(x)[0])
    np.testing.assert_array_equal(results[0], results[1])


def test_options_hold_for_one_init_on_the_thread_that_gave_them(library: ctypes.CDLL, squares: Path) -> None:
    assert library.rknn_ep_simulator_configure(None, b"simulation=nonsense") == 0
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(lambda: driver.init_code(library, squares)[0]).result() == 0
    assert driver.init_code(library, squares)[0] == driver.PARAM_INVALID
    assert driver.init_code(library, squares)[0] == 0


def test_a_child_of_fork_can_use_the_contexts_it_inherited(squares: Path) -> None:
    code = """
import os, sys
import numpy as np
from pathlib import Path
from tests.simulator import driver
context = driver.Context(driver.load(), Path(sys.argv[1]))
x = np.full((1, 4, 16, 16), 5, np.float32)
context(x)
child = os.fork()
if child == 0:
    os._exit(0 if (context(x)[0] == 25).all() else 1)
assert os.waitpid(child, 0)[1] == 0
assert (context(x)[0] == 25).all()
"""
    script(code, squares)


def test_a_child_of_fork_is_told_when_the_threads_of_a_context_stayed_behind(squares: Path) -> None:
    code = """
import os, sys
import numpy as np
from pathlib import Path
from tests.simulator import driver
library = driver.load()
context = driver.Context(library, Path(sys.argv[1]), options="simulation_threads=2")
x = np.full((1, 4, 16, 16), 5, np.float32)
context(x)
child = os.fork()
if child == 0:
    code = library.rknn_run(context.handle, None)
    context.destroy()
    with driver.Context(library, Path(sys.argv[1])) as fresh:
        os._exit(0 if code == driver.FAIL and (fresh(x)[0] == 25).all() else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    script(code, squares)


def test_a_program_may_exit_with_contexts_open(squares: Path) -> None:
    code = """
import sys
from pathlib import Path
from tests.simulator import driver
library = driver.load()
keep = [driver.Context(library, Path(sys.argv[1]), options=f"simulation_threads={n}") for n in (1, 2)]
"""
    script(code, squares)


def test_contexts_come_and_go_without_growing(squares: Path) -> None:
    code = """
import re, sys
import numpy as np
from pathlib import Path
from tests.simulator import driver
def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1])
library = driver.load()
x = np.ones((1, 4, 16, 16), np.float32)
keep = driver.Context(library, Path(sys.argv[1]))
def round():
    for _ in range(100):
        with driver.Context(library, Path(sys.argv[1])) as context:
            context(x)
round()
before = resident()
round(); round()
print(resident() - before)
"""
    assert int(script(code, squares)) < 4096  # KiB; 200 contexts


RELOAD = """
import re, sys
from pathlib import Path
from tests.simulator import driver
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
library = driver.load()
with driver.Context(library, Path(sys.argv[1])) as small:
    pass                      # what ONNX Runtime needs for itself, and its code pages
before = peak()
context = driver.Context(library, Path(sys.argv[2]))
print(peak() - before)
"""


def test_reloading_a_large_bundle_takes_little_more_memory_than_its_weights(squares: Path, tmp_path: Path) -> None:
    size, layers = 1024, 24
    rng = np.random.default_rng(0)
    weights = {f"w{i}": rng.standard_normal((size, size)).astype(np.float32) for i in range(layers)}
    names = ["x", *(f"m{i}" for i in range(layers - 1)), "y"]
    nodes = [helper.make_node("MatMul", [names[i], f"w{i}"], [names[i + 1]]) for i in range(layers)]
    shape = [1, size]
    proto = bundles.model(nodes, [("x", TensorProto.FLOAT, shape)], [("y", TensorProto.FLOAT, shape)], weights)
    path = bundles.bundle(tmp_path / "large.rknnctx", proto)
    del proto, weights
    payload = path.stat().st_size
    assert payload > 96 << 20
    assert int(script(RELOAD, squares, path)) < 1.5 * payload
