"""What a program can get wrong: the code that rknn_api documents and one line on standard error that names the function."""

from __future__ import annotations

import ctypes as c
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.simulator import bundles, driver, matmul
from tests.simulator.driver import Context, Input, Output, TensorMem

SHAPE = (1, 3, 4, 5)
X = np.zeros(SHAPE, np.float32)
Call = Callable[[Context, Context], int]


@pytest.fixture
def contexts(library: c.CDLL, tmp_path: Path) -> Iterator[tuple[Context, Context]]:
    model = bundles.bundle(tmp_path / "relu.rknnctx", bundles.relu(SHAPE))
    with Context(library, model) as one, Context(library, model) as other:
        one(X)
        yield one, other


def inputs_set(context: Context, size: int = X.nbytes, address: int | None = X.ctypes.data) -> int:
    given = (Input * 1)(Input(0, address, size, 0, driver.FLOAT32, driver.NCHW))
    return int(context.library.rknn_inputs_set(context.handle, 1, given))


def outputs_get(context: Context, size: int) -> int:
    taken = (Output * 1)(Output(1, 1, 0, X.ctypes.data, size))
    return int(context.library.rknn_outputs_get(context.handle, 1, taken, None))


def released_twice(context: Context) -> int:
    taken = (Output * 1)(Output(1, 0, 0))
    assert context.library.rknn_outputs_get(context.handle, 1, taken, None) == 0
    assert context.library.rknn_outputs_release(context.handle, 1, taken) == 0
    return int(context.library.rknn_outputs_release(context.handle, 1, taken))


def destroyed_twice(context: Context) -> int:
    memory = context.memory(64)
    assert context.library.rknn_destroy_mem(context.handle, memory) == 0
    return int(context.library.rknn_destroy_mem(context.handle, memory))


def bound(context: Context, memory: c._Pointer[TensorMem] | None) -> int:
    attr = context.attr(driver.NATIVE_INPUT_ATTR)
    return int(context.library.rknn_set_io_mem(context.handle, memory, c.byref(attr)))


def gone(context: Context) -> int:
    copy = context.duplicate()
    handle = copy.handle
    copy.destroy()
    return int(context.library.rknn_run(handle, None))


def of_another_kind(context: Context) -> int:
    info = matmul.Info(M=4, K=32, N=16, type=matmul.FLOAT16_FLOAT32)
    with matmul.Matmul(context.library, info) as product:
        return int(context.library.rknn_run(product.handle, None))


CASES: dict[str, tuple[str, int, Call]] = {
    "an input of the wrong size": ("rknn_inputs_set", driver.INPUT_INVALID, lambda one, _: inputs_set(one, X.nbytes - 4)),
    "an input at null": ("rknn_inputs_set", driver.INPUT_INVALID, lambda one, _: inputs_set(one, address=None)),
    "no inputs": ("rknn_inputs_set", driver.PARAM_INVALID, lambda one, _: one.library.rknn_inputs_set(one.handle, 1, None)),
    "a structure of the wrong size": (
        "rknn_query",
        driver.PARAM_INVALID,
        lambda one, _: one.library.rknn_query(one.handle, driver.IN_OUT_NUM, c.byref(driver.InputOutputNum()), 3),
    ),
    "nowhere to answer": (
        "rknn_query",
        driver.PARAM_INVALID,
        lambda one, _: one.library.rknn_query(one.handle, driver.IN_OUT_NUM, None, 8),
    ),
    "an output that is too small": ("rknn_outputs_get", driver.OUTPUT_INVALID, lambda one, _: outputs_get(one, X.nbytes - 4)),
    "outputs released twice": ("rknn_outputs_release", driver.OUTPUT_INVALID, lambda one, _: released_twice(one)),
    "memory destroyed twice": ("rknn_destroy_mem", driver.PARAM_INVALID, lambda one, _: destroyed_twice(one)),
    "memory that nobody made": (
        "rknn_set_io_mem",
        driver.PARAM_INVALID,
        lambda one, _: bound(one, c.pointer(TensorMem(size=9999))),
    ),
    "memory at null": ("rknn_set_io_mem", driver.PARAM_INVALID, lambda one, _: bound(one, None)),
    "memory that is too small": ("rknn_set_io_mem", driver.INPUT_INVALID, lambda one, _: bound(one, one.memory(8))),
    "a context that was destroyed": ("rknn_run", driver.CTX_INVALID, lambda one, _: gone(one)),
    "a context that never was": ("rknn_run", driver.CTX_INVALID, lambda one, _: one.library.rknn_run(1 << 40, None)),
    "a context of another kind": ("rknn_run", driver.CTX_INVALID, lambda one, _: of_another_kind(one)),
    "a run without inputs": ("rknn_run", driver.INPUT_INVALID, lambda _, other: other.library.rknn_run(other.handle, None)),
    "outputs before a run": ("rknn_outputs_get", driver.FAIL, lambda _, other: outputs_get(other, X.nbytes)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_wrong_call_gives_its_code_and_a_line_and_the_context_goes_on(
    contexts: tuple[Context, Context], capfd: pytest.CaptureFixture[str], name: str
) -> None:
    function, code, call = CASES[name]
    capfd.readouterr()
    assert call(*contexts) == code
    [line] = capfd.readouterr().err.splitlines()
    assert line.startswith("E rknn_ep simulator: ") and f"{function}: " in line
    np.testing.assert_array_equal(contexts[0](X)[0], X)


def test_memory_may_be_bound_after_a_run_of_the_copying_flow(contexts: tuple[Context, Context]) -> None:
    """Both flows alternate: what rknn_api leaves open is allowed. While a run is under way it is refused: test_memory.py."""
    context, _ = contexts
    attr = context.attr(driver.NATIVE_INPUT_ATTR)
    assert bound(context, context.memory(attr.size_with_stride)) == 0
    context.run()


EXHAUSTED = """
import ctypes, resource, sys
from pathlib import Path
import numpy as np
from tests.simulator import driver
from tests.simulator.driver import Context
library = driver.load()
x = np.zeros((1, 3, 4, 5), np.float32)
context = Context(library, Path(sys.argv[1]))
context(x)
content = np.fromfile(sys.argv[2], np.uint8)
model, size = (content.ctypes.data, content.nbytes) if sys.argv[3] == "buffer" else (sys.argv[2].encode(), 0)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (int(sys.argv[4]) << 20), resource.RLIM_INFINITY))
memory = library.rknn_create_mem(context.handle, 512 << 20)
large = library.rknn_init(ctypes.byref(ctypes.c_uint64()), ctypes.cast(model, ctypes.c_void_p), size, 0, None)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(int(bool(memory)), large, np.abs(context(x)[0]).max())
"""


@pytest.mark.skipif(
    "libasan" in os.environ.get("LD_PRELOAD", ""),
    reason="the address sanitizer ends a process whose memory is exhausted: `new` does not throw",
)
@pytest.mark.parametrize(
    ("given", "room"), [("path", 48), ("buffer", 48), ("path", 112)], ids=["to map", "to copy", "to compute"]
)
def test_exhausted_memory_is_a_code_and_other_contexts_go_on(tmp_path: Path, given: str, room: int) -> None:
    """`room` in MB; the model has 64 MB of weights."""
    small = bundles.bundle(tmp_path / "relu.rknnctx", bundles.relu(SHAPE))
    weights = np.ones((4096, 4096), np.float32)
    nodes = [bundles.helper.make_node("MatMul", ["x", "w"], ["y"])]
    tensor = bundles.TensorProto.FLOAT, [1, 4096]
    model = bundles.model(nodes, [("x", *tensor)], [("y", *tensor)], {"w": weights})
    large = bundles.bundle(tmp_path / "large.rknnctx", model)
    done = subprocess.run(
        [sys.executable, "-c", EXHAUSTED, str(small), str(large), given, str(room)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "RKNN_EP_ONNXRUNTIME": str(driver.onnxruntime_path()), "OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == ["0", str(driver.MALLOC_FAIL), "0.0"], done.stderr
    assert "rknn_create_mem: out of memory" in done.stderr
    assert "rknn_init: " in done.stderr
