"""The C++ module alone (native/tvm): saved and loaded, called well and badly. Runs under the sanitizers too (tests/native)."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import rknn_ep_tvm
from rknn_ep_tvm import native
from rknn_ep_tvm.description import describe
from tests.tvm.harness import SECONDS, SHAPE, imported, network, random, samples

RESULT = (1, 8, 16, 16)
SYMBOL = "rknn_here"


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A bundle: Conv + Relu in int8."""
    model = imported(network(cpu_end=False), calibration=samples(tmp_path_factory.mktemp("samples"))).mod
    (bundle,) = rknn_ep_tvm.bundles(model).values()
    return bytes(bundle.source.read(0, bundle.source.size))


def created(content: bytes, **options: str) -> Any:
    return native.create(SYMBOL, describe(content, "rk3588", {"device": "simulator", **options}), content)


def restored(saved: bytes) -> Any:
    import tvm_ffi

    return tvm_ffi.get_global_func(native.LOADER)(saved)


def saved(content: bytes) -> bytes:
    """As `SaveToBytes` writes it: the form that exported libraries keep."""
    description = describe(content, "rk3588", {"device": "simulator"}).encode()
    fields = (SYMBOL.encode(), description, content)
    return b"rknn1" + b"".join(len(field).to_bytes(8, "little") + field for field in fields)


def tensor(array: np.ndarray[Any, Any]) -> Any:
    import tvm_ffi

    return tvm_ffi.from_dlpack(array)


def output() -> np.ndarray[Any, Any]:
    return np.zeros(RESULT, np.float32)


@pytest.fixture(scope="module")
def expected(content: bytes) -> np.ndarray[Any, Any]:
    y = output()
    created(content)[SYMBOL](tensor(random()), tensor(y))
    assert y.any()
    return y


def misaligned(array: np.ndarray[Any, Any], offset: int) -> np.ndarray[Any, Any]:
    """A copy whose memory begins `offset` bytes after a multiple of 64, and ends where its allocation ends."""
    raw = np.zeros(array.nbytes + 64 + offset, np.uint8)
    start = -raw.ctypes.data % 64 + offset
    moved = raw[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    moved[...] = array
    return moved


def test_bytes_become_the_same_module(content: bytes, expected: np.ndarray[Any, Any]) -> None:
    y = output()
    module = restored(saved(content))
    assert module.kind == "rknn"
    module[SYMBOL](tensor(random()), tensor(y))
    np.testing.assert_array_equal(y, expected)


def test_a_function_outlives_its_module(content: bytes, expected: np.ndarray[Any, Any]) -> None:
    module = restored(saved(content))
    function = module[SYMBOL]
    del module
    for _ in range(3):
        y = output()
        function(tensor(random()), tensor(y))
        np.testing.assert_array_equal(y, expected)


def test_another_name_is_no_function_of_it(content: bytes) -> None:
    with pytest.raises(AttributeError):
        created(content)["rknn_there"]


@pytest.mark.parametrize("length", [0, 4, 5, 12, 13, 21, 40, 200, -1])
def test_bytes_that_are_cut_short_are_refused(content: bytes, length: int) -> None:
    with pytest.raises(ValueError, match=r"cut short|another version"):
        restored(saved(content)[:length])


@pytest.mark.parametrize("field", range(3))
def test_lengths_beyond_the_end_are_refused(content: bytes, field: int) -> None:
    """Each of the three lengths in turn says more than there is, up to the largest number."""
    whole = bytearray(saved(content))
    at = 5
    for _ in range(field):
        at += 8 + int.from_bytes(whole[at : at + 8], "little")
    for length in (len(whole), 2**63, 2**64 - 1):
        whole[at : at + 8] = length.to_bytes(8, "little")
        with pytest.raises(ValueError, match="cut short"):
            restored(bytes(whole))


def test_bytes_of_another_version_are_named(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"saved by another version of rknn_ep than \d+\.\d+.*export the module again"):
        restored(b"rknn9" + saved(content)[5:])


def test_damaged_bundles_are_refused_when_they_run(content: bytes) -> None:
    """Bytes of the bundle changed, one at a time: an error or the same tensors' result, never a crash."""
    refused = 0
    for position in np.linspace(0, len(content) - 1, 41).astype(int):
        damaged = bytearray(content)
        damaged[position] ^= 0xFF
        function = created(bytes(damaged))[SYMBOL]
        try:
            function(tensor(random()), tensor(output()))
        except Exception as error:  # noqa: BLE001 (whatever it says, it is an error and no crash)
            assert str(error)
            refused += 1
    assert refused


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("contexts=-1", "contexts"),
        ("device=pigeon", "device=pigeon: compiled models run on 'board' and 'simulator'"),
        ("library=/nowhere/librknnrt.so", "cannot load the NPU runtime '/nowhere/librknnrt.so'"),
    ],
)
def test_descriptions_that_make_no_sense_are_refused(content: bytes, line: str, message: str) -> None:
    function = native.create(SYMBOL, f"{line}\n", content)[SYMBOL]
    for _ in range(2):  # a second run tries again
        with pytest.raises(Exception, match=message):
            function(tensor(random()), tensor(output()))


@pytest.mark.parametrize("offset", [1, 2, 3, 4, 7, 8, 32])
def test_misaligned_memory_on_both_sides(content: bytes, expected: np.ndarray[Any, Any], offset: int) -> None:
    x, y = misaligned(random(), offset), misaligned(output(), offset)
    created(content)[SYMBOL](tensor(x), tensor(y))
    np.testing.assert_array_equal(y, expected)


def test_tensors_that_do_not_fit_are_named(content: bytes) -> None:
    function = created(content)[SYMBOL]
    x, y = tensor(random()), tensor(output())
    transposed = tensor(np.ascontiguousarray(random().transpose(0, 1, 3, 2)).transpose(0, 1, 3, 2))
    for arguments, message in [
        ((), "takes 1 inputs and 1 outputs, not 0"),
        ((x,), "not 1 tensors"),
        ((x, y, y), "not 3 tensors"),
        ((1, y), "'x' of partition rknn_0 is no tensor"),
        ((None, y), "'x' of partition rknn_0 is no tensor"),
        ((tensor(random((1, 3, 16, 8))), y), r"'x' .* has the shape \[1,3,16,8\], but was compiled for \[1,3,16,16\]"),
        ((tensor(random((1, 3, 256))), y), r"has the shape \[1,3,256\]"),
        ((tensor(random().astype(np.int32)), y), "another type than FLOAT"),
        ((tensor(random().astype(np.float64)), y), "another type than FLOAT"),
        ((transposed, y), "is not contiguous"),
        ((y, x), "has the shape"),
    ]:
        with pytest.raises(Exception, match=message):
            function(*arguments)
    function(x, y)  # and goes on working


def test_threads_share_one_module(content: bytes, expected: np.ndarray[Any, Any]) -> None:
    function = created(content, contexts="2")[SYMBOL]
    results = []

    def work() -> None:
        y = output()
        for _ in range(25):
            function(tensor(random()), tensor(y))
        results.append(bool(np.array_equal(y, expected)))

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert results == [True] * 4


def test_modules_come_and_go(content: bytes, expected: np.ndarray[Any, Any]) -> None:
    for _ in range(10):
        y = output()
        created(content)[SYMBOL](tensor(random(SHAPE)), tensor(y))
        np.testing.assert_array_equal(y, expected)
