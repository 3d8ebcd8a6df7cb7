"""uint8 NHWC pictures go in as they are: nothing of the front runs on the CPU, and every way in gives equal results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import rknn_ep
from rknn_ep.errors import ModelError, OptionError
from rknn_ep.graph import load_model
from rknn_ep.options import Options
from rknn_ep.pipeline import build
from rknn_ep.runtime import Session
from tests.simulator import driver

MEAN, STD = (123.0, 116.0, 103.0), (58.0, 57.0, 57.5)
SIZE = 96


def a_network(pads: int = 1, channels: int = 3) -> onnx.ModelProto:
    """Conv, Relu, Conv on float32 [1,3,96,96]."""
    random = np.random.default_rng(3)
    weights = {"w": (64, channels, 3, 3), "v": (128, 64, 3, 3)}
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["a"], "first", pads=[pads] * 4, strides=[2, 2]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Conv", ["b", "v"], ["y"], "second", strides=[2, 2]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, channels, SIZE, SIZE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 128, None, None])],
        [numpy_helper.from_array(random.normal(0, 0.1, shape).astype(np.float32), name) for name, shape in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """network.onnx, camera.onnx, photos/ and one picture more: picture.npy uint8 [1,96,96,3]."""
    from PIL import Image

    from tests import models

    folder = tmp_path_factory.mktemp("camera")
    onnx.save(a_network(), folder / "network.onnx")
    rknn_ep.camera_input(folder / "network.onnx", folder / "camera.onnx", mean=MEAN, std=STD)
    (folder / "photos").mkdir()
    for index, path in enumerate(models.pictures()):
        Image.open(path).convert("RGB").resize((SIZE, SIZE)).save(folder / "photos" / f"{index}.png")
    np.save(folder / "picture.npy", np.asarray(Image.open(folder / "photos" / "0.png"))[None])
    return folder


def picture(folder: Path) -> np.ndarray[Any, Any]:
    return np.load(folder / "picture.npy")


def reference(model: bytes, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    result: np.ndarray[Any, Any] = session.run(None, {"images": pixels})[0]
    return result


def npu(model: Path, **options: str) -> ort.InferenceSession:
    rknn_ep.register()
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return ort.InferenceSession(str(model), settings, providers=[("RKNNExecutionProvider", options)])


@pytest.mark.parametrize("pads", [0, 1])
@pytest.mark.parametrize(("color", "order"), [("rgb", "rgb"), ("rgb", "bgr")])
def test_the_rewritten_model_computes_what_the_pipeline_did(tmp_path: Path, pads: int, color: str, order: str) -> None:
    onnx.save(a_network(pads), tmp_path / "network.onnx")
    rknn_ep.camera_input(tmp_path / "network.onnx", tmp_path / "camera.onnx", mean=MEAN, std=STD, color=color, picture=order)
    onnx.checker.check_model(str(tmp_path / "camera.onnx"), full_check=True)
    pixels = np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)
    ordered = pixels if color == order else pixels[..., ::-1]
    floats = ((ordered - np.float32(MEAN)) / np.float32(STD)).transpose(0, 3, 1, 2).astype(np.float32)
    expected = reference(a_network(pads).SerializeToString(), floats)
    got = reference((tmp_path / "camera.onnx").read_bytes(), pixels)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5 * np.abs(expected).max())  # float32 sums in another order


@pytest.mark.parametrize("target", ["rk3588", "rk3566", "rv1106"])
def test_nothing_of_the_front_stays_on_the_cpu(folder: Path, target: str) -> None:
    report = rknn_ep.partition(folder / "camera.onnx", target=target, calibration=str(folder / "photos"))
    facts = report.to_dict()
    assert report.fallback() is None
    assert len(facts["partitions"]) == 1


def test_int8_codes_are_the_pixels(folder: Path) -> None:
    built = build(load_model(folder / "camera.onnx"), Options.parse({"calibration": folder / "photos"}))
    from rknn_ep.artifact.native_text import NativeDescription

    (tensor,) = NativeDescription.from_text(built.partitions[0].native_text).inputs
    assert (tensor.name, tensor.border, tensor.border_dims) == ("images", "UINT8_NHWC", (1, SIZE, SIZE, 3))
    assert (tensor.qtype, tensor.scale, tensor.zero_point, tensor.dims) == ("INT8", 1.0, -128, (1, 3, SIZE, SIZE))


@pytest.mark.parametrize(
    ("target", "precision", "modes"),
    [
        *((target, precision, ("general", "zero_copy")) for target in ("rk3588", "rk3566") for precision in ("int8", "fp16")),
        ("rv1106", "int8", ("zero_copy",)),  # it has no float16
    ],
)
def test_every_way_in_gives_the_same(folder: Path, tmp_path: Path, target: str, precision: str, modes: tuple[str, ...]) -> None:
    pixels = picture(folder)
    options = {"target": target, "precision": precision}
    if precision == "int8":
        options["calibration"] = str(folder / "photos")
    results = [npu(folder / "camera.onnx", **options, io_mode=mode).run(None, {"images": pixels})[0] for mode in modes]
    compiled = tmp_path / "camera_ctx.onnx"
    rknn_ep.compile(folder / "camera.onnx", compiled, embed_mode=0, **options)
    results.append(npu(compiled, target=target).run(None, {"images": pixels})[0])
    with Session(compiled, device="simulator") as session:
        assert session.inputs[0].shape == (1, SIZE, SIZE, 3) and session.inputs[0].dtype == np.uint8
        results += [session.run([pixels])[0], session.submit([pixels]).result()[0]]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    expected = reference((folder / "camera.onnx").read_bytes(), pixels)
    # int8: two layers with a step of 1/255 of their range each; fp16: 11 bits in every product of the sums.
    cosine = float((results[0] * expected).sum() / np.linalg.norm(results[0]) / np.linalg.norm(expected))
    assert cosine > (0.999 if precision == "int8" else 0.99999)


def test_the_c_flows_take_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "camera_ctx.onnx"
    rknn_ep.compile(folder / "camera.onnx", compiled, embed_mode=0, calibration=str(folder / "photos"))
    pixels = picture(folder)
    with Session(compiled, device="simulator") as session:
        expected = session.run([pixels])[0]
        with session.bind(types={"images": "uint8"}, layouts={"images": "NHWC"}) as bound:  # zero-copy, converted by the runtime
            bound.inputs[0].array[...] = pixels
            bound.run()
            codes = bound.outputs[0].array
            scale, zero = session.outputs[0].scale, session.outputs[0].zero_point
            shown = (np.asarray(codes, np.float32) - zero) * np.float32(scale)
        if shown.shape != expected.shape:
            shown = shown.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(shown, expected, rtol=0, atol=1e-6 * np.abs(expected).max())  # the product is rounded once more
    bundle = next(tmp_path.glob("*.rknnctx"))
    np.testing.assert_array_equal(copying_flow(bundle, pixels, expected), expected)


def copying_flow(bundle: Path, pixels: np.ndarray[Any, Any], like: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """rknn_inputs_set with uint8 NHWC, rknn_run, rknn_outputs_get with want_float, as board programs do."""
    with driver.Context(driver.load(), bundle) as context:
        context.set_inputs([pixels], fmt=driver.NHWC)
        context.run()
        (output,) = context.get_outputs(want_float=True)
    return output.reshape(like.shape)


def test_a_front_of_the_users_own_counts_too(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "camera.onnx")
    transpose, cast = model.graph.node[0], model.graph.node[1]
    assert (transpose.op_type, cast.op_type) == ("Transpose", "Cast")
    # Cast first, then Transpose, as other exporters write it.
    cast.input[0], cast.output[0], transpose.input[0], transpose.output[0] = "images", "real", "real", cast.output[0]
    for value in list(model.graph.value_info):
        model.graph.value_info.remove(value)
    swapped = [cast, transpose, *list(model.graph.node)[2:]]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in swapped]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    onnx.save(model, tmp_path / "own.onnx")
    pixels = picture(folder)
    options = {"calibration": str(folder / "photos")}
    got = npu(tmp_path / "own.onnx", **options).run(None, {"images": pixels})[0]
    np.testing.assert_array_equal(got, npu(folder / "camera.onnx", **options).run(None, {"images": pixels})[0])


def test_pixels_that_others_read_stay_with_the_host(folder: Path, tmp_path: Path) -> None:
    model = onnx.load(folder / "camera.onnx")
    model.graph.node.append(helper.make_node("ReduceSum", ["images_pixels"], ["total"], keepdims=0))
    model.graph.node.append(helper.make_node("NonZero", ["images_pixels"], ["places"]))
    model.graph.output.append(helper.make_tensor_value_info("places", TensorProto.INT64, [4, None]))
    onnx.save(model, tmp_path / "shared.onnx")
    rknn_ep.register()
    session = ort.InferenceSession(
        str(tmp_path / "shared.onnx"), providers=[("RKNNExecutionProvider", {"precision": "fp16"}), "CPUExecutionProvider"]
    )
    pixels = picture(folder)
    outputs = session.run(None, {"images": pixels})
    expected = ort.InferenceSession(str(tmp_path / "shared.onnx"), providers=["CPUExecutionProvider"]).run(
        None, {"images": pixels}
    )
    np.testing.assert_array_equal(outputs[1], expected[1])
    np.testing.assert_allclose(outputs[0], expected[0], atol=5e-3 * np.abs(expected[0]).max())  # fp16


def test_wrong_pictures_are_errors_that_name_both_shapes(folder: Path, tmp_path: Path) -> None:
    session = npu(folder / "camera.onnx", precision="fp16")
    with pytest.raises(Exception, match=r"[Uu]nexpected|Invalid|Got"):
        session.run(None, {"images": picture(folder).astype(np.float32)})
    with pytest.raises(Exception, match=r"[Ii]nvalid|Got"):
        session.run(None, {"images": picture(folder)[:, :50]})


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"mean": (1.0, 2.0)}, OptionError, "mean is one number or 3"),
        ({"std": 0.0}, OptionError, "std divides"),
        ({"std": float("nan")}, OptionError, "std is one number or 3"),
        ({"color": "gbr"}, OptionError, "color is rgb or bgr"),
        ({"name": "nobody"}, ModelError, "the model has the inputs images"),
    ],
)
def test_arguments_that_do_not_fit(
    folder: Path, tmp_path: Path, how: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rknn_ep.camera_input(folder / "network.onnx", tmp_path / "out.onnx", **how)
    assert not (tmp_path / "out.onnx").exists()


def test_what_is_no_picture_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"input 'images' is UINT8 \[1, 96, 96, 3\], not a picture"):
        rknn_ep.camera_input(folder / "camera.onnx", tmp_path / "twice.onnx")
    onnx.save(a_network(channels=8), tmp_path / "eight.onnx")
    with pytest.raises(ModelError, match="not a picture"):
        rknn_ep.camera_input(tmp_path / "eight.onnx", tmp_path / "out.onnx")


def test_mean_and_std_twice_are_told(folder: Path) -> None:
    from rknn_ep.errors import CalibrationError

    with pytest.raises(CalibrationError, match="takes bytes, and mean and std leave no bytes"):
        build(load_model(folder / "camera.onnx"), Options.parse({"calibration": folder / "photos", "mean": "123", "std": "58"}))


def test_the_command_line_feeds_pictures(folder: Path, tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from rknn_ep.cli.main import build_app
    from rknn_ep.plugins import plugins

    arguments = [
        "run",
        str(folder / "camera.onnx"),
        str(folder / "photos" / "0.png"),
        "--precision",
        "fp16",
        "-o",
        str(tmp_path / "o.npz"),
    ]
    result = CliRunner().invoke(build_app(plugins()), arguments)
    assert result.exit_code == 0, result.output
    (output,) = np.load(tmp_path / "o.npz").values()
    np.testing.assert_array_equal(output, npu(folder / "camera.onnx", precision="fp16").run(None, {"images": picture(folder)})[0])
    assert CliRunner().invoke(build_app(plugins()), [*arguments, "--mean", "300"]).exit_code != 0


def test_the_vendors_habits_take_the_picture_too(folder: Path, tmp_path: Path) -> None:
    from rknn_ep.compat.rknnlite import RKNNLite

    compiled = tmp_path / "camera_ctx.onnx"
    rknn_ep.compile(folder / "camera.onnx", compiled, embed_mode=0, calibration=str(folder / "photos"))
    lite = RKNNLite()
    assert lite.load_rknn(str(next(tmp_path.glob("*.rknnctx")))) == 0
    assert lite.init_runtime() == 0
    (output,) = lite.inference([picture(folder)])
    lite.release()
    with Session(compiled, device="simulator") as session:
        np.testing.assert_array_equal(output.reshape(session.outputs[0].shape), session.run([picture(folder)])[0])


def test_the_vendors_compiler_takes_the_picture_in_codes_of_the_pixels(folder: Path, tmp_path: Path) -> None:
    from rknn_ep.memory import COMPILER, compiled_metadata, memory_of
    from rknn_ep.plugins import plugins
    from tests.required import missing

    if why := plugins().compilers()["toolkit2"].available():
        missing("toolkit2", why)
    compiled = tmp_path / "camera_ctx.onnx"
    rknn_ep.compile(folder / "camera.onnx", compiled, calibration=str(folder / "photos"))
    (metadata,) = compiled_metadata(compiled)
    (given,) = metadata.graphs[0].inputs
    assert (given.name, given.dtype, given.scale, given.zero_point) == ("images", "INT8", (1.0,), (-128,))
    assert given.native_dims == (1, 1, SIZE, SIZE, 3)
    # Nothing but the border is left to the CPU side: no Transpose, no Cast, no division.
    assert {node.type for node in metadata.graphs[0].nodes if node.unit == "cpu"} <= {"InputOperator", "OutputOperator"}
    assert memory_of(compiled).source == COMPILER
