"""create_mem, set_io_mem, run, mem_sync: the only way on small SoCs, and open to all."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.simulator import bundles, driver
from tests.simulator.driver import Context, RknnError

RNG = np.random.default_rng(8)
X = RNG.integers(-128, 128, (1, 3, 4, 5)).astype(np.int8)


@pytest.fixture(params=["rv1106", "rk3588"])
def context(request: pytest.FixtureRequest, library: ctypes.CDLL, tmp_path: Path) -> Context:
    path = bundles.bundle(tmp_path / "codes.rknnctx", bundles.quantized_identity(), "int8", request.param)
    return Context(library, path)


def memory(context: Context, attr: driver.TensorAttr) -> Any:
    made = context.library.rknn_create_mem(context.handle, attr.size_with_stride)
    assert made
    context.call("rknn_set_io_mem", made, ctypes.byref(attr))
    return made


def view(mem: Any, dtype: Any) -> np.ndarray[Any, Any]:
    buffer = (ctypes.c_uint8 * mem.contents.size).from_address(mem.contents.virt_addr)
    return np.frombuffer(buffer, dtype)


def test_native_attributes_lead_through_strided_input_and_blocked_output(context: Context) -> None:
    x, y = context.attr(driver.NATIVE_INPUT_ATTR), context.attr(driver.NATIVE_OUTPUT_ATTR)
    assert (x.fmt, x.w_stride, y.fmt) == (driver.NHWC, 16, driver.NC1HWC2)
    given, taken = memory(context, x), memory(context, y)
    view(given, np.int8).reshape(1, 4, 16, 3)[:, :, :5] = X.transpose(0, 2, 3, 1)
    context.call("rknn_mem_sync", given, 1)
    context.run()
    context.call("rknn_mem_sync", taken, 2)
    got = view(taken, np.int8).reshape(1, 1, 4, 5, 16)[..., :3]
    np.testing.assert_array_equal(got[:, 0].transpose(0, 3, 1, 2), X)
    for mem in (given, taken):
        context.call("rknn_destroy_mem", mem)
    context.destroy()


def test_programs_may_ask_for_another_type_and_layout(context: Context) -> None:
    x, y = context.attr(driver.INPUT_ATTR), context.attr(driver.NATIVE_NHWC_OUTPUT_ATTR)
    x.type, x.fmt, x.w_stride = driver.FLOAT32, driver.NCHW, 0
    x.size_with_stride = 240
    given, taken = memory(context, x), memory(context, y)
    real = (X.astype(np.float32) + 28) * np.float32(0.1)
    view(given, np.float32)[:] = real.ravel()
    context.run()
    np.testing.assert_array_equal(view(taken, np.int8).reshape(1, 4, 5, 3).transpose(0, 3, 1, 2), X)
    context.destroy()


def test_memory_that_is_too_small_or_gone_is_not_used(context: Context) -> None:
    attr = context.attr(driver.NATIVE_INPUT_ATTR)
    small = context.library.rknn_create_mem(context.handle, attr.size_with_stride - 1)
    with pytest.raises(RknnError) as error:
        context.call("rknn_set_io_mem", small, ctypes.byref(attr))
    assert error.value.code == driver.INPUT_INVALID
    bound = memory(context, attr)
    context.call("rknn_destroy_mem", bound)
    with pytest.raises(RknnError) as error:
        context.run()
    assert error.value.code == driver.INPUT_INVALID
    attr.name = b"nobody"
    with pytest.raises(RknnError) as error:
        context.call("rknn_set_io_mem", small, ctypes.byref(attr))
    assert error.value.code == driver.PARAM_INVALID
    assert not context.library.rknn_create_mem(context.handle, 0)
    context.destroy()
