"""init, query, inputs_set, run, outputs_get, outputs_release, destroy: what a board program does."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.simulator import bundles, driver
from tests.simulator.driver import Context, RknnError

RNG = np.random.default_rng(7)


@pytest.fixture(scope="module")
def relu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("relu") / "relu.rknnctx", bundles.relu())


@pytest.fixture(scope="module")
def codes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundles.bundle(tmp_path_factory.mktemp("codes") / "codes.rknnctx", bundles.quantized_identity(), "int8")


def test_a_path_and_a_buffer_give_the_same_answer(library: ctypes.CDLL, relu: Path) -> None:
    x = RNG.standard_normal((1, 3, 4, 5)).astype(np.float16).astype(np.float32)
    for source in (relu, relu.read_bytes()):
        for flag in (0, driver.FLAG_MODEL_BUFFER_ZERO_COPY) if isinstance(source, Path) else (0,):
            with Context(library, source, flag) as context:
                np.testing.assert_array_equal(context(x)[0], np.maximum(x, 0))


def test_image_inputs_are_reported_as_boards_do_nhwc_and_outputs_nchw(library: ctypes.CDLL, codes: Path) -> None:
    with Context(library, codes) as context:
        numbers = context.query(driver.IN_OUT_NUM, driver.InputOutputNum())
        assert (numbers.n_input, numbers.n_output) == (1, 1)
        x, y = context.attr(driver.INPUT_ATTR), context.attr(driver.OUTPUT_ATTR)
        assert (x.name, x.shape, x.fmt) == (b"x", [1, 4, 5, 3], driver.NHWC)
        assert (x.type, x.qnt_type, x.zp, x.n_elems, x.size) == (driver.INT8, driver.QNT_AFFINE, 100 - 128, 60, 60)
        assert x.scale == np.float32(0.1)
        assert (x.w_stride, x.size_with_stride) == (16, 4 * 16 * 3)
        assert (y.name, y.shape, y.fmt, y.type, y.zp) == (b"y", [1, 3, 4, 5], driver.NCHW, driver.INT8, -28)
        native = context.attr(driver.NATIVE_OUTPUT_ATTR)
        assert (native.shape, native.fmt, native.size) == ([1, 1, 4, 5, 16], driver.NC1HWC2, 4 * 5 * 16)


def test_float_borders_are_float16_affine_with_scale_one_as_on_boards(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu) as context:
        x = context.attr(driver.INPUT_ATTR)
        assert (x.type, x.qnt_type, x.zp, x.scale, x.size) == (driver.FLOAT16, driver.QNT_AFFINE, 0, 1.0, 120)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("fmt", [driver.NCHW, driver.NHWC])
def test_inputs_of_every_type_and_layout_arrive_as_values(library: ctypes.CDLL, relu: Path, dtype: str, fmt: int) -> None:
    x = RNG.integers(0, 200, (1, 3, 4, 5)).astype(dtype)
    given = x.transpose(0, 2, 3, 1) if fmt == driver.NHWC else x
    with Context(library, relu) as context:
        context.set_inputs([given], fmt)
        context.run()
        np.testing.assert_array_equal(context.get_outputs()[0], x.astype(np.float32))


def test_real_inputs_of_a_quantised_model_are_rounded_to_its_grid(library: ctypes.CDLL, codes: Path) -> None:
    x = RNG.uniform(-15, 20, (1, 3, 4, 5)).astype(np.float32)
    expected = np.clip(np.rint(x / np.float32(0.1)) + 100, 0, 255)
    with Context(library, codes) as context:
        for prealloc in (False, True):
            context.set_inputs([x])
            context.run()
            np.testing.assert_array_equal(context.get_outputs(False, prealloc)[0], (expected - 128).astype(np.int8))
            np.testing.assert_array_equal(
                context.get_outputs(True, prealloc)[0], (expected - 100).astype(np.float32) * np.float32(0.1)
            )


def test_every_code_survives_the_way_in_and_out(library: ctypes.CDLL, tmp_path: Path) -> None:
    shape = (1, 1, 16, 16)
    path = bundles.bundle(tmp_path / "all.rknnctx", bundles.quantized_identity(shape, 0.0371, 3), "int8")
    x = np.arange(-128, 128, dtype=np.int8).reshape(shape)
    with Context(library, path) as context:
        context.set_inputs([x])
        context.run()
        np.testing.assert_array_equal(context.get_outputs(want_float=False)[0], x)


def test_pass_through_takes_codes_in_the_native_layout(library: ctypes.CDLL, codes: Path) -> None:
    x = RNG.integers(-128, 128, (1, 3, 4, 5)).astype(np.int8)
    with Context(library, codes) as context:
        context.set_inputs([x.transpose(0, 2, 3, 1)], pass_through=True)
        context.run()
        np.testing.assert_array_equal(context.get_outputs(want_float=False)[0], x)


def test_integer_and_boolean_tensors_keep_their_type(library: ctypes.CDLL, tmp_path: Path) -> None:
    nodes = [helper.make_node("Add", ["a", "a"], ["b"]), helper.make_node("Not", ["c"], ["d"])]
    inputs = [("a", TensorProto.INT64, [2, 3]), ("c", TensorProto.BOOL, [4])]
    outputs = [("b", TensorProto.INT64, [2, 3]), ("d", TensorProto.BOOL, [4])]
    path = bundles.bundle(tmp_path / "mixed.rknnctx", bundles.model(nodes, inputs, outputs))
    a, c = RNG.integers(-(2**60), 2**60, (2, 3)), np.array([True, False, False, True])
    with Context(library, path) as context:
        assert context.attr(driver.INPUT_ATTR).type == driver.INT64
        assert context.attr(driver.INPUT_ATTR).fmt == driver.UNDEFINED
        context.set_inputs([a, c])
        context.run()
        b, d = context.get_outputs(want_float=False)
        np.testing.assert_array_equal(b, a + a)
        np.testing.assert_array_equal(d, ~c)


def test_outputs_may_be_asked_for_one_by_one_or_by_position(library: ctypes.CDLL, tmp_path: Path) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])]
    shaped = [(name, TensorProto.FLOAT, [3]) for name in "xyz"]
    path = bundles.bundle(tmp_path / "two.rknnctx", bundles.model(nodes, shaped[:1], shaped[1:]))
    x = np.array([1, -2, 3], np.float32)
    with Context(library, path) as context:
        context(x)
        room = np.zeros(3, np.float32)
        context.call("rknn_outputs_get", 1, (driver.Output * 1)(driver.Output(1, 1, 1, room.ctypes.data, 12)), None)
        np.testing.assert_array_equal(room, -x)
        unset = (driver.Output * 2)(driver.Output(1), driver.Output(1))
        context.call("rknn_outputs_get", 2, unset, None)
        second = np.ctypeslib.as_array(ctypes.cast(unset[1].buf, ctypes.POINTER(ctypes.c_float)), (3,))
        np.testing.assert_array_equal(second, -x)
        context.call("rknn_outputs_release", 2, unset)
        assert unset[0].buf is None


def test_a_bundle_behind_a_link_finds_its_weights(library: ctypes.CDLL, tmp_path: Path) -> None:
    weight = RNG.standard_normal((64, 64)).astype(np.float32)
    proto = bundles.model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, [1, 64])],
        [("y", TensorProto.FLOAT, [1, 64])],
        {"w": weight},
    )
    (tmp_path / "blobs").mkdir()
    bundles.bundle(tmp_path / "blobs" / "content", proto)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "model.rknnctx").symlink_to(tmp_path / "blobs" / "content")
    with Context(library, tmp_path / "linked" / "model.rknnctx") as context:
        assert np.isfinite(context(np.ones((1, 64), np.float32))[0]).all()


def test_scalars_are_tensors_of_one_element(library: ctypes.CDLL, tmp_path: Path) -> None:
    path = bundles.bundle(tmp_path / "scalar.rknnctx", bundles.relu(()))
    with Context(library, path) as context:
        assert context.attr(driver.INPUT_ATTR).shape == [1]
        assert context(np.full(1, 3, np.float32))[0].item() == 3


def test_versions_say_whose_they_are_and_sizes_are_reported(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu) as context:
        version = context.query(driver.SDK_VERSION, driver.SdkVersion())
        assert b"rknn_ep simulator" in version.api_version and version.api_version.startswith(b"2.4.1")
        assert b"rknn_ep simulator" in version.drv_version
        memory = context.query(driver.MEM_SIZE, driver.MemSize())
        assert memory.total_dma_allocated_size == memory.total_weight_size + memory.total_internal_size
        assert context.query(driver.CUSTOM_STRING, driver.CustomString()).string == b""
        context(np.zeros((1, 3, 4, 5), np.float32))
        assert context.query(driver.PERF_RUN, driver.PerfRun()).run_duration >= 0


def test_a_structure_of_the_wrong_size_is_refused_before_it_is_written(library: ctypes.CDLL, relu: Path) -> None:
    with Context(library, relu) as context:
        attr = driver.TensorAttr(name=b"untouched")
        for size in (0, 4, ctypes.sizeof(attr) - 1):
            with pytest.raises(RknnError) as error:
                context.query(driver.INPUT_ATTR, attr, size)
            assert error.value.code == driver.PARAM_INVALID
        assert attr.name == b"untouched"


def test_misuse_returns_the_code_that_names_it(library: ctypes.CDLL, relu: Path) -> None:
    x = np.zeros((1, 3, 4, 5), np.float32)
    with Context(library, relu) as context:

        def code(function: str, *arguments: object) -> int:
            return int(getattr(library, function)(context.handle, *arguments))

        assert code("rknn_run", None) == driver.INPUT_INVALID
        assert code("rknn_outputs_get", 1, (driver.Output * 1)(), None) == driver.FAIL
        good = driver.Input(0, x.ctypes.data, x.nbytes, 0, driver.FLOAT32, driver.NCHW)
        for field, value, expected in [
            ("index", 1, driver.INPUT_INVALID),
            ("buf", None, driver.INPUT_INVALID),
            ("size", x.nbytes - 1, driver.INPUT_INVALID),
            ("type", 99, driver.INPUT_INVALID),
            ("type", 10, driver.INPUT_INVALID),
            ("fmt", 17, driver.INPUT_INVALID),
        ]:
            bad = driver.Input.from_buffer_copy(good)
            setattr(bad, field, value)
            assert code("rknn_inputs_set", 1, (driver.Input * 1)(bad)) == expected, (field, value)
        assert code("rknn_inputs_set", 1, None) == driver.PARAM_INVALID
        context(x)
        short = (driver.Output * 1)(driver.Output(1, 1, 0, x.ctypes.data, 4))
        assert code("rknn_outputs_get", 1, short, None) == driver.OUTPUT_INVALID
        assert code("rknn_outputs_get", 5, (driver.Output * 5)(), None) == driver.OUTPUT_INVALID
        assert code("rknn_query", 99, None, 0) == driver.PARAM_INVALID


def test_a_destroyed_context_is_known_to_be_gone(library: ctypes.CDLL, relu: Path) -> None:
    context = Context(library, relu)
    context.destroy()
    for handle in (context.handle, 123456789):
        assert library.rknn_run(handle, None) == driver.CTX_INVALID
        assert library.rknn_destroy(handle) == driver.CTX_INVALID


def test_a_duplicate_has_inputs_and_outputs_of_its_own(library: ctypes.CDLL, relu: Path) -> None:
    a, b = (np.full((1, 3, 4, 5), value, np.float32) for value in (1, 2))
    with Context(library, relu) as first, first.duplicate() as second:
        first.set_inputs([a])
        second.set_inputs([b])
        first.run()
        second.run()
        first.destroy()
        np.testing.assert_array_equal(second.get_outputs()[0], b)
