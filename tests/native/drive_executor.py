"""Drives the C interface of librknn_ep.so (native/runtime/rknn_ep.h) with good and bad arguments, from several threads."""

import ctypes
import os
import tempfile
import threading
from pathlib import Path

import numpy as np
import onnxruntime

from rknn_ep.api import native_library
from tests.onnxruntime.harness import SHAPE, mul_bundle, random

# Nobody hands the simulator an ONNX Runtime here: it loads the one beside the Python package.
os.environ["RKNN_EP_ONNXRUNTIME"] = str(next(Path(onnxruntime.__file__).parent.glob("capi/libonnxruntime.so*")))

library = ctypes.CDLL(str(native_library("PROVIDER")))
library.rknn_ep_last_error.restype = ctypes.c_char_p
library.rknn_ep_executor_close.argtypes = [ctypes.c_void_p]


def error() -> str:
    return library.rknn_ep_last_error().decode()


def addresses(*arrays: np.ndarray):
    return (ctypes.c_void_p * len(arrays))(*[array.ctypes.data for array in arrays])


def sizes(*numbers: int):
    return (ctypes.c_uint64 * len(numbers))(*numbers)


def run(executor, x: np.ndarray, y: np.ndarray, x_size: int | None = None, inputs: int = 1) -> int:
    x_size = x.nbytes if x_size is None else x_size
    return library.rknn_ep_executor_run(
        executor, addresses(x), sizes(x_size), ctypes.c_uint64(inputs), addresses(y), sizes(y.nbytes), ctypes.c_uint64(1)
    )


def main() -> None:
    simulator = str(native_library("SIMULATOR")).encode()
    folder = Path(tempfile.mkdtemp())
    bundle = str(mul_bundle(folder)).encode()
    executor = ctypes.c_void_p()
    out = ctypes.byref(executor)

    assert library.rknn_ep_executor_open(None, simulator, None, out) == -1
    assert "null" in error()
    assert library.rknn_ep_executor_open(b"/nowhere", simulator, None, out) == -1
    assert "/nowhere" in error()
    assert library.rknn_ep_executor_open(bundle, b"/nowhere.so", None, out) == -1
    assert "/nowhere.so" in error()
    assert library.rknn_ep_executor_open(bundle, simulator, b"core_mask=9\n", out) == -1
    assert "core_mask=9" in error()
    assert library.rknn_ep_executor_open(bundle, simulator, b"contexts=99\n", out) == -1
    assert "contexts" in error()
    assert not executor.value

    assert library.rknn_ep_executor_open(bundle, simulator, b"contexts=2\nsimulation=exact\ncore_mask=all\n", out) == 0, error()
    x, y = random(), np.empty(SHAPE, np.float32)
    assert run(executor, x, y) == 0, error()
    np.testing.assert_array_equal(y, 3 * x)
    assert run(executor, x, y, x_size=4) == -1
    assert "'x' holds 4 bytes, but FLOAT[1,3,4,4] has 192" in error()
    assert run(executor, x, y, inputs=0) == -1
    assert "1 inputs, not 0" in error()
    assert run(None, x, y) == -1

    def work(seed: int) -> None:
        mine, result = random(seed=seed), np.empty(SHAPE, np.float32)
        for _ in range(50):
            assert run(executor, mine, result) == 0, error()
        np.testing.assert_array_equal(result, 3 * mine)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    library.rknn_ep_executor_close(executor)
    library.rknn_ep_executor_close(None)


if __name__ == "__main__":
    main()
