"""The matrix multiplication API: exact products in every type and layout, and what is refused."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.simulator import driver, matmul
from tests.simulator.driver import RknnError
from tests.simulator.matmul import NATIVE, NORM, TRANSPOSED, Info, Matmul

RANDOM = np.random.default_rng(0)


@pytest.fixture
def soc(monkeypatch: pytest.MonkeyPatch):
    return lambda name: monkeypatch.setenv("RKNN_EP_SIMULATED_SOC", name)


def integers(low: int, high: int, *shape: int) -> np.ndarray:
    return RANDOM.integers(low, high, shape, dtype=np.int8, endpoint=True)


@pytest.mark.parametrize("layout", [NORM, TRANSPOSED])
def test_int8_products_are_exact_sums(library: ctypes.CDLL, layout: int) -> None:
    a, b = integers(-128, 127, 5, 1000), integers(-128, 127, 1000, 33)
    with Matmul(library, Info(5, 1000, 33, matmul.INT8_INT32, layout)) as context:
        assert context.io.A.shape == [5, 1000] and context.io.C.shape == [5, 33]
        assert context.io.B.shape == ([1000, 33] if layout == NORM else [33, 1000])
        given = b if layout == NORM else b.T
        made = context.product(a.tobytes(), np.ascontiguousarray(given).tobytes(), np.int32)
    np.testing.assert_array_equal(made, a.astype(np.int64) @ b.astype(np.int64))


@pytest.mark.parametrize(
    ("name", "block", "sub_n", "sub_k", "segment"),
    [("rk3588", 16, 32, 32, 8192), ("rk3576", 16, 32, 32, 4096), ("rk3562", 16, 16, 32, 1 << 30), ("rk3568", 8, 16, 32, 1 << 30)],
)
def test_native_layouts_are_those_of_the_soc(
    library: ctypes.CDLL, soc, name: str, block: int, sub_n: int, sub_k: int, segment: int
) -> None:
    soc(name)
    m, k, n = 3, 8300, 40
    a, b = integers(-128, 127, m, k), integers(-128, 127, k, n)
    info = Info(m, k, n, matmul.INT8_INT32, NATIVE, 0, NATIVE)
    with Matmul(library, info) as context:
        assert context.io.A.shape == [-(-k // block), m, block]
        assert context.io.B.shape == [-(-n // sub_n), -(-k // sub_k), sub_n, sub_k]
        assert context.io.C.shape == [n // 4, m, 4]
        native = np.zeros(context.io.B.size, np.int8)
        done = library.rknn_B_normal_layout_to_native_layout(
            b.ctypes.data_as(ctypes.c_void_p), native.ctypes.data_as(ctypes.c_void_p), k, n, ctypes.byref(info)
        )
        assert done == 0
        wanted = matmul.weights(b, sub_n, sub_k, segment)
        np.testing.assert_array_equal(native[: wanted.size], wanted)
        made = context.product(matmul.features(a, block).tobytes(), native.tobytes(), np.int32)
    np.testing.assert_array_equal(made, matmul.features(a.astype(np.int32) @ b.astype(np.int32), 4))


def test_float16_products_are_rounded_once(library: ctypes.CDLL) -> None:
    a, b = (RANDOM.standard_normal(shape).astype(np.float16) for shape in ((4, 200), (200, 24)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    with Matmul(library, Info(4, 200, 24, matmul.FLOAT16_FLOAT32, NATIVE, 0, NATIVE)) as context:
        assert context.io.B.shape == [2, 7, 16, 32] and context.io.A.shape == [25, 4, 8]
        made = context.product(matmul.features(a, 8).tobytes(), matmul.weights(b, 16, 32, 8192).tobytes(), np.float32)
    np.testing.assert_array_equal(made, matmul.features(exact.astype(np.float32), 4))
    with Matmul(library, Info(4, 200, 24, matmul.FLOAT16_FLOAT16)) as context:
        made = context.product(a.tobytes(), b.tobytes(), np.float16)
    np.testing.assert_array_equal(made, exact.astype(np.float32).astype(np.float16))


def test_int4_lies_two_to_a_byte_and_its_int16_results_saturate(library: ctypes.CDLL) -> None:
    a, b = integers(-8, 7, 2, 64), integers(-8, 7, 64, 64)
    with Matmul(library, Info(2, 64, 64, matmul.INT4_INT16, NATIVE, 0, NATIVE)) as context:
        assert context.io.A.shape == [2, 2, 32] and context.io.B.shape == [1, 2, 64, 32] and context.io.C.shape == [8, 2, 8]
        made = context.product(matmul.packed(matmul.features(a, 32)), matmul.packed(matmul.weights(b, 64, 32, 8192)), np.int16)
        np.testing.assert_array_equal(made, matmul.features((a.astype(np.int32) @ b).astype(np.int16), 8))
    big = np.full((1, 1024), -8, np.int8)
    with Matmul(library, Info(1, 1024, 2, matmul.INT4_INT16)) as context:
        made = context.product(matmul.packed(big), matmul.packed(np.repeat(big.T, 2, 1)), np.int16)
    assert (made == 32767).all()


def test_scales_and_zero_points_apply(library: ctypes.CDLL, soc) -> None:
    a, b = integers(-128, 127, 3, 50), integers(-128, 127, 50, 4)
    sums = a.astype(np.int64) @ b.astype(np.int64)
    with Matmul(library, Info(3, 50, 4, matmul.INT8_FLOAT32, NORM, 2)) as context:
        context.quantize("A", [0.5], [])
        context.quantize("B", [0.1, 0.2, 0.3, 0.4], [])
        scales = np.float32([0.1, 0.2, 0.3, 0.4]).astype(np.float64)
        np.testing.assert_array_equal(
            context.product(a.tobytes(), b.tobytes(), np.float32), (sums * 0.5 * scales).astype(np.float32)
        )
        scale = ctypes.c_float()
        params = matmul.QuantParams(b"B", (ctypes.c_float * 4)(), 4)
        context.call("rknn_matmul_get_quant_params", ctypes.byref(params), ctypes.byref(scale))
        assert list(params.scale[:4]) == list(map(float, np.float32([0.1, 0.2, 0.3, 0.4]))) and scale.value == params.scale[0]
    with Matmul(library, Info(3, 50, 4, matmul.INT8_INT8)) as context:
        context.quantize("A", [0.5], [3])
        context.quantize("B", [0.25], [-2])
        context.quantize("C", [64.0], [5])
        real = ((a.astype(np.int64) - 3) @ (b.astype(np.int64) + 2)) * 0.125
        wanted = np.clip(np.rint(real / 64) + 5, -128, 127).astype(np.int8)
        np.testing.assert_array_equal(context.product(a.tobytes(), b.tobytes(), np.int8), wanted)
    soc("rk3576")
    half = RANDOM.standard_normal((3, 50)).astype(np.float16)
    with Matmul(library, Info(3, 50, 4, matmul.FLOAT16_INT8_FLOAT32)) as context:
        context.quantize("B", [0.25], [7])
        wanted = half.astype(np.float64) @ ((b.astype(np.float64) - 7) * 0.25)
        np.testing.assert_array_equal(context.product(half.tobytes(), b.tobytes(), np.float32), wanted.astype(np.float32))


def test_one_of_several_shapes_is_chosen(library: ctypes.CDLL) -> None:
    shapes = [(1, 64, 32), (4, 64, 32)]
    with Matmul(library, Info(type=matmul.INT8_INT32), shapes) as context:
        for index, (m, k, n) in reversed(list(enumerate(shapes))):
            context.call("rknn_matmul_set_dynamic_shape", ctypes.byref(matmul.Shape(m, k, n)))
            context.io, context.memories = context.ios[index], {}
            a, b = integers(-128, 127, m, k), integers(-128, 127, k, n)
            made = context.product(a.tobytes(), b.tobytes(), np.int32)
            np.testing.assert_array_equal(made, a.astype(np.int32) @ b.astype(np.int32))
        with pytest.raises(RknnError) as error:
            context.call("rknn_matmul_set_dynamic_shape", ctypes.byref(matmul.Shape(2, 64, 32)))
        assert error.value.code == driver.PARAM_INVALID


def test_what_makes_no_sense_is_refused(library: ctypes.CDLL, soc) -> None:
    for bad in (
        Info(0, 64, 32, matmul.INT8_INT32),
        Info(1, 10241, 32, matmul.INT8_INT32),
        Info(2**31 - 1, 64, 2**31 - 1, matmul.INT8_INT32),
        Info(1, 64, 32, 13),
        Info(1, 64, 32, matmul.INT8_INT32, 7),
        Info(1, 64, 32, matmul.INT8_INT32, 0, 5),
        Info(1, 64, 32, matmul.INT8_INT32, 0, 0, 2),
    ):
        assert matmul.code_of(library, bad) == driver.PARAM_INVALID
    assert matmul.code_of(library, Info(1, 64, 32, matmul.FLOAT16_INT8_FLOAT32)) == driver.TARGET_PLATFORM_UNMATCH
    with Matmul(library, Info(1, 64, 32, matmul.INT8_INT32)) as context:
        for attempt in (
            lambda: context.call("rknn_matmul_run"),
            lambda: context.call("rknn_matmul_set_io_mem", context.memory(63), ctypes.byref(context.io.A)),
            lambda: context.call("rknn_matmul_set_io_mem", None, ctypes.byref(context.io.A)),
            lambda: context.call("rknn_matmul_set_io_mem", context.memory(64), None),
            lambda: context.quantize("D", [1.0], [0]),
            lambda: context.quantize("A", [1.0, 2.0], [0]),
            lambda: context.quantize("A", [-1.0], [0]),
        ):
            with pytest.raises(RknnError) as error:
                attempt()
            assert error.value.code == driver.PARAM_INVALID
        context.call("rknn_matmul_set_core_mask", 7)
        handle = context.handle
    assert library.rknn_matmul_destroy(ctypes.c_uint64(handle)) == driver.CTX_INVALID
    assert library.rknn_run(handle, None) == driver.CTX_INVALID
    for name, types in (("rk3568", [matmul.INT4_INT16]), ("rv1106", [matmul.INT8_INT32]), ("rk2118", [matmul.INT8_INT32])):
        soc(name)
        for kind in types:
            assert matmul.code_of(library, Info(1, 64, 64, kind)) == driver.TARGET_PLATFORM_UNMATCH
    soc("rk3568")
    with Matmul(library, Info(1, 64, 32, matmul.INT8_INT32)) as context, pytest.raises(RknnError) as error:
        context.call("rknn_matmul_set_core_mask", 1)
    assert error.value.code == driver.TARGET_PLATFORM_UNMATCH
