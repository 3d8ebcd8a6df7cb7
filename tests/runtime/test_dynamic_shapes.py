"""Models of several input shapes: text recognition compiled for two widths at once computes what it does compiled for each."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import rknn_ep
from rknn_ep.artifact.epcontext_reader import read_epcontext
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.compat.rknnlite import RKNNLite
from rknn_ep.errors import OptionError, ShapeError
from rknn_ep.runtime import Session
from rknn_ep.shapes import ShapeSet, parse_dynamic_input
from tests import models
from tests.simulator import driver
from tests.simulator.driver import Context, RknnError

WIDTHS = (320, 160)
RNG = np.random.default_rng(3)


def text(width: int) -> np.ndarray:
    return RNG.uniform(-1, 1, (1, 3, 48, width)).astype(np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dynamic")


@pytest.fixture(scope="module")
def dynamic(folder: Path) -> Path:
    """PP-OCR recognition for both widths; named smallest first, as users may."""
    path = folder / "dynamic.onnx"
    choices = [[[1, 3, 48, width]] for width in sorted(WIDTHS)]
    rknn_ep.compile(models.ppocr_rec(), path, target="rk3588", precision="fp16", min_partition_macs=0, dynamic_input=choices)
    return path


@pytest.fixture(scope="module")
def static(folder: Path) -> dict[int, Path]:
    made = {width: folder / f"static{width}.onnx" for width in WIDTHS}
    for width, path in made.items():
        shapes = {"x": [1, 3, 48, width]}
        rknn_ep.compile(models.ppocr_rec(), path, target="rk3588", precision="fp16", min_partition_macs=0, input_shapes=shapes)
    return made


@pytest.fixture(scope="module")
def payload(dynamic: Path, folder: Path) -> Path:
    """The bundle as a file, for C programs."""
    path = folder / "dynamic.rknnctx"
    [node] = read_epcontext(dynamic).own
    assert isinstance(node.payload, bytes)
    path.write_bytes(node.payload)
    return path


@pytest.fixture(scope="module")
def library() -> ctypes.CDLL:
    return driver.load()


@pytest.mark.parametrize("io_mode", ["general", "zero_copy"])
def test_every_width_computes_what_a_model_compiled_for_it_does(dynamic: Path, static: dict[int, Path], io_mode: str) -> None:
    with Session(dynamic, device="simulator", io_mode=io_mode) as session:
        assert session.input_shapes == tuple(((1, 3, 48, width),) for width in WIDTHS)
        for width in (160, 320, 160):
            x = text(width)
            with Session(static[width], device="simulator", io_mode=io_mode) as alone:
                np.testing.assert_array_equal(session.run([x])[0], alone.run([x])[0])


def test_setting_shapes_changes_what_the_session_says_and_binds(dynamic: Path) -> None:
    with Session(dynamic, device="simulator") as session:
        for width in WIDTHS:
            session.set_input_shapes({"x": (1, 3, 48, width)})
            assert session.inputs[0].shape == (1, 3, 48, width)
            assert session.outputs[0].shape == (1, width // 8, 6625)
            x = text(width)
            session.inputs[0].buffer[...] = x.transpose(0, 2, 3, 1)
            np.testing.assert_array_equal(session.run()[0], session.run([x])[0])


def test_a_shape_that_was_not_compiled_is_refused_with_those_that_were(dynamic: Path) -> None:
    with Session(dynamic, device="simulator") as session:
        with pytest.raises(ShapeError, match=r"\[\[1, 3, 48, 320\]\] or \[\[1, 3, 48, 160\]\], not \[\[1, 3, 48, 100\]\]"):
            session.set_input_shapes([(1, 3, 48, 100)])
        with pytest.raises(ShapeError, match="not float32"):
            session.run([text(100)])
        assert session.run([text(320)])[0].shape == (1, 40, 6625)


def test_callers_of_different_widths_share_one_session(dynamic: Path) -> None:
    with Session(dynamic, device="simulator", contexts=2) as session:
        inputs = [text(width) for width in WIDTHS * 3]
        expected = [session.run([x])[0] for x in inputs]
        for future, right in zip([session.submit([x]) for x in inputs], expected, strict=True):
            np.testing.assert_array_equal(future.result()[0], right)


def test_rknnlite_follows_the_pictures_it_is_given(dynamic: Path) -> None:
    lite = RKNNLite()
    assert lite.load_rknn(str(dynamic)) == 0
    assert lite.init_runtime() == 0
    for width in WIDTHS:
        [scores] = lite.inference(inputs=[RNG.uniform(-1, 1, (1, 48, width, 3)).astype(np.float32)])
        assert scores.shape == (1, width // 8, 6625)
    assert lite.inference(inputs=[np.zeros((1, 48, 100, 3), np.float32)]) is None
    lite.release()


def wishes(context: Context, width: int) -> driver.TensorAttr:
    attr = context.attr(driver.INPUT_ATTR)
    assert attr.fmt == driver.NHWC
    attr.dims[2] = width
    return attr


def test_a_c_program_finds_sets_and_asks_for_shapes(library: ctypes.CDLL, payload: Path, static: dict[int, Path]) -> None:
    with Context(library, payload) as context:
        found = context.query(driver.INPUT_DYNAMIC_RANGE, driver.InputRange())
        assert (found.name, found.fmt, found.n_dims, found.shape_number) == (b"x", driver.NHWC, 4, 2)
        assert [list(found.dyn_range[index][:4]) for index in range(2)] == [[1, 48, width, 3] for width in WIDTHS]
        assert context.attr(driver.INPUT_ATTR).shape == [1, 48, 320, 3]  # the largest, before and after
        for width in (160, 320):
            wish = wishes(context, width)
            context.call("rknn_set_input_shapes", 1, ctypes.byref(wish))
            assert context.attr(driver.CURRENT_INPUT_ATTR).shape == [1, 48, width, 3]
            assert context.attr(driver.CURRENT_NATIVE_INPUT_ATTR).shape == [1, 48, width, 3]
            output = context.attr(driver.CURRENT_OUTPUT_ATTR)
            assert output.shape == context.attr(driver.CURRENT_NATIVE_OUTPUT_ATTR).shape == [1, width // 8, 6625]
            x = text(width)
            context.set_inputs([x])
            context.run()
            scores = np.empty(output.shape, np.float32)
            wanted = driver.Output(1, 1, 0, scores.ctypes.data, scores.nbytes)
            context.call("rknn_outputs_get", 1, ctypes.byref(wanted), None)
            with Session(static[width], device="simulator") as alone:
                np.testing.assert_array_equal(scores, alone.run([x])[0])


def test_the_zero_copy_flow_binds_memory_of_the_largest_shape_once_more_for_each(library: ctypes.CDLL, payload: Path) -> None:
    with Context(library, payload) as context, Session(payload, device="simulator") as session:
        memory = [
            context.memory(context.attr(command).size_with_stride * 2) for command in (driver.INPUT_ATTR, driver.OUTPUT_ATTR)
        ]
        for width in (160, 320):
            wish = wishes(context, width)
            context.call("rknn_set_input_shape", ctypes.byref(wish))  # the older call
            with pytest.raises(RknnError):  # what was bound for the shape before is bound no longer
                context.run()
            attrs = [context.attr(driver.CURRENT_INPUT_ATTR), context.attr(driver.CURRENT_OUTPUT_ATTR)]
            for attr, one in zip(attrs, memory, strict=True):
                attr.type = driver.FLOAT32
                context.call("rknn_set_io_mem", one, ctypes.byref(attr))
            x = text(width)
            rows = np.zeros((1, 48, attrs[0].w_stride, 3), np.float32)
            rows[:, :, :width] = x.transpose(0, 2, 3, 1)
            ctypes.memmove(memory[0].contents.virt_addr, rows.ctypes.data, rows.nbytes)
            context.run()
            scores = np.empty((1, width // 8, 6625), np.float32)
            ctypes.memmove(scores.ctypes.data, memory[1].contents.virt_addr, scores.nbytes)
            np.testing.assert_array_equal(scores, session.run([x])[0])


def test_what_dynamic_models_cannot_is_refused_as_the_vendor_documents(library: ctypes.CDLL, payload: Path) -> None:
    for flag in (driver.FLAG_MEM_ALLOC_OUTSIDE, driver.FLAG_INTERNAL_ALLOC_OUTSIDE):
        assert driver.init_code(library, payload, flag)[0] == driver.PARAM_INVALID
    with Context(library, payload) as context:

        def refused(function: str, *arguments: object) -> None:
            with pytest.raises(RknnError) as caught:
                context.call(function, *arguments)
            assert caught.value.code == driver.PARAM_INVALID

        refused("rknn_run", None)  # no shape is set yet
        attr = driver.TensorAttr()
        refused("rknn_query", driver.CURRENT_INPUT_ATTR, ctypes.byref(attr), ctypes.sizeof(attr))
        refused("rknn_query", driver.INPUT_DYNAMIC_RANGE, ctypes.byref(attr), ctypes.sizeof(attr))  # too small
        with pytest.raises(RknnError) as caught:
            context.duplicate()
        assert caught.value.code == driver.PARAM_INVALID
        wish = wishes(context, 100)
        refused("rknn_set_input_shapes", 1, ctypes.byref(wish))
        refused("rknn_set_input_shapes", 2, ctypes.byref(wish))
        refused("rknn_set_input_shapes", 1, None)
        wish = wishes(context, 160)
        wish.index = 7
        refused("rknn_set_input_shapes", 1, ctypes.byref(wish))
        wish = wishes(context, 160)
        context.call("rknn_set_input_shapes", 1, ctypes.byref(wish))
        context.set_inputs([text(160)])
        context.run()
        wish = wishes(context, 320)
        context.call("rknn_set_input_shapes", 1, ctypes.byref(wish))
        output = driver.Output(1, 0, 0)
        with pytest.raises(RknnError):  # that was of the other shape
            context.call("rknn_outputs_get", 1, ctypes.byref(output), None)


def test_a_bundle_holds_the_weights_once(dynamic: Path, static: dict[int, Path]) -> None:
    # What comes on top are the graphs, whose constants below 1 kB stay inside.
    assert dynamic.stat().st_size < 1.05 * static[320].stat().st_size


def test_the_largest_shape_is_calibrated_and_its_scales_serve_all(folder: Path) -> None:
    samples = folder / "samples.txt"
    samples.write_text("\n".join(map(str, models.pictures()[:8])))
    options = {"target": "rk3588", "calibration": samples, "min_partition_macs": 0, "strict": True}
    both, large = folder / "int8.onnx", folder / "int8_large.onnx"
    rknn_ep.compile(models.ppocr_cls(), both, dynamic_input="x:1,3,48,96|x:1,3,48,192", **options)
    rknn_ep.compile(models.ppocr_cls(), large, input_shapes="x:1,3,48,192", **options)
    [node] = read_epcontext(both).own
    bundle = node.open_bundle()
    first, second = (NativeDescription.from_text(bundle.read(name).decode()) for name in ("native.txt", "native.1.txt"))
    assert [one.dims for one in first.inputs + second.inputs] == [(1, 3, 48, 192), (1, 3, 48, 96)]
    assert (first.inputs[0].scale, first.inputs[0].zero_point) == (second.inputs[0].scale, second.inputs[0].zero_point)
    with Session(both, device="simulator") as session, Session(large, device="simulator") as alone:
        np.testing.assert_array_equal(session.run([x := text(192)])[0], alone.run([x])[0])
        # The network averages over its picture: twice the same half, and both widths see nearly the same. Two classes, whose
        # int8 scores differ by steps of 1/256.
        half = text(96)
        twice = np.concatenate([half, half], axis=3)
        np.testing.assert_allclose(session.run([half])[0], session.run([twice])[0], atol=0.1)


def test_sessions_of_onnx_runtime_take_one_shape() -> None:
    with pytest.raises(OptionError, match="ahead of time"):
        from rknn_ep.options import Options
        from rknn_ep.pipeline import build_from_bytes

        build_from_bytes(models.ppocr_cls().read_bytes(), Options.parse({"dynamic_input": "x:1,3,48,96|x:1,3,48,192"}))


@pytest.mark.parametrize(
    ("given", "choices"),
    [
        ("x:1,3|x:2,3", (ShapeSet({"x": (1, 3)}), ShapeSet({"x": (2, 3)}))),
        ("width=160|width=320", (ShapeSet(dimensions={"width": 160}), ShapeSet(dimensions={"width": 320}))),
        ([[[1, 3], [4]], [[2, 3], [4]]], (ShapeSet(positional=((1, 3), (4,))), ShapeSet(positional=((2, 3), (4,))))),
        ("1,3;4|2,3;4", (ShapeSet(positional=((1, 3), (4,))), ShapeSet(positional=((2, 3), (4,))))),
        ([{"x": [1, 3]}, "x:1,3"], (ShapeSet({"x": (1, 3)}),)),
    ],
)
def test_choices_of_shapes_are_written_as_users_do(given: object, choices: tuple[ShapeSet, ...]) -> None:
    assert parse_dynamic_input(given) == choices
    assert parse_dynamic_input("|".join(map(str, choices))) == choices


@pytest.mark.parametrize("given", ["", "x:0,3", "x", [[]], [[1, 3]], 7, {"x": [1]}, "x:1|", [[["a"]]]])
def test_choices_that_cannot_be_are_named(given: object) -> None:
    if given == "x:1|":  # a trailing bar is no choice
        assert len(parse_dynamic_input(given)) == 1
        return
    with pytest.raises(OptionError, match="dynamic_input"):
        parse_dynamic_input(given)


def test_positions_that_the_model_has_not_are_named(folder: Path) -> None:
    with pytest.raises(ShapeError, match="2 shapes"):
        rknn_ep.compile(models.ppocr_cls(), folder / "none.onnx", precision="fp16", dynamic_input=[[[1, 3, 48, 96], [1]]])
