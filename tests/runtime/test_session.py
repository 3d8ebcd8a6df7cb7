"""rknn_ep.runtime.Session: what it opens, what it takes and gives, and what it refuses."""

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rknn_ep.errors import ArtifactError, ExecutionError, OptionError, ShapeError
from rknn_ep.runtime import Session
from rknn_ep_simulator.stand_in import write_stand_in
from tests.onnxruntime.harness import RK3576, SHAPE, bundle_of, mul_bundle, random
from tests.simulator.bundles import bundle, model, quantized_identity


@pytest.fixture(scope="module")
def tripling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """y = 3 x."""
    return mul_bundle(tmp_path_factory.mktemp("tripling"))


@pytest.fixture
def session(tripling: Path):
    with Session(tripling, device="simulator") as opened:
        yield opened


def test_arrays_by_position_and_by_name(session: Session) -> None:
    x = random()
    np.testing.assert_array_equal(session.run([x])[0], 3 * x)
    np.testing.assert_array_equal(session.run({"x": x})[0], 3 * x)


def test_a_bundle_of_several_socs_is_opened_for_the_one_that_is_named(tmp_path: Path) -> None:
    several, x = mul_bundle(tmp_path, also=(RK3576,)), random()
    for target, opened in (("", "rk3588"), ("rk3588", "rk3588"), ("rk3576", "rk3576")):
        with Session(several, device="simulator", target=target) as session:
            np.testing.assert_array_equal(session.run([x])[0], 3 * x)
            assert session.facts["target"] == opened
    with pytest.raises(ExecutionError, match="compiled for rk3588, rk3576, but the option target asks for rv1106"):
        Session(several, device="simulator", target="rv1106")


def test_a_bundle_in_memory(tripling: Path) -> None:
    x = random()
    with Session(tripling.read_bytes(), device="simulator") as session:
        np.testing.assert_array_equal(session.run([x])[0], 3 * x)


def test_a_vendor_file_runs_its_companion(tmp_path: Path) -> None:
    compiled = bundle(tmp_path / "model.rknnctx", quantized_identity(), "int8")
    x = random((1, 3, 4, 5))
    vendor_file = write_stand_in(compiled, tmp_path / "model.rknn")
    with Session(vendor_file, device="simulator") as vendor, Session(compiled, device="simulator") as ours:
        np.testing.assert_array_equal(vendor.run([x])[0], ours.run([x])[0])
        for one, other in zip(vendor.inputs + vendor.outputs, ours.inputs + ours.outputs, strict=True):
            assert (one.name, one.shape, one.dtype, one.qtype) == (other.name, other.shape, other.dtype, other.qtype)
            assert (one.scale, one.zero_point) == (pytest.approx(other.scale), other.zero_point)
    (tmp_path / "elsewhere").mkdir()
    lonely = write_stand_in(compiled, tmp_path / "elsewhere" / "lonely.rknn")
    compiled.unlink()
    with pytest.raises(ExecutionError, match=r"rknn_init failed with -6 \(RKNN_ERR_MODEL_INVALID\)"):
        Session(lonely, device="simulator")


def test_results_go_where_the_caller_wants_them(session: Session) -> None:
    x, y = random(), np.empty(SHAPE, np.float32)
    [result] = session.run([x], out=[y])
    assert result is y
    np.testing.assert_array_equal(y, 3 * x)


def test_inputs_that_are_not_contiguous_or_not_writeable(session: Session) -> None:
    x = random((4, 4, 3, 1)).T
    assert not x.flags.c_contiguous
    np.testing.assert_array_equal(session.run([x])[0], 3 * x)
    x = random()
    x.flags.writeable = False
    np.testing.assert_array_equal(session.run([x])[0], 3 * x)


def test_dlpack_in_and_out(session: Session) -> None:
    class Foreign:
        """A tensor of another library: all that is known of it is DLPack."""

        def __init__(self, array: np.ndarray) -> None:
            self.array = array

        def __dlpack__(self, **options):
            return self.array.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.array.__dlpack_device__()

    x = random()
    [y] = session.run([Foreign(x)])
    seen = np.from_dlpack(Foreign(y))
    np.testing.assert_array_equal(seen, 3 * x)
    assert np.shares_memory(seen, y)


def test_metadata(tmp_path: Path) -> None:
    with Session(bundle(tmp_path / "q.rknnctx", quantized_identity(), "int8"), device="simulator") as session:
        [x], [y] = session.inputs, session.outputs
        assert (x.name, x.shape, x.dtype, x.qtype, x.zero_point) == ("x", (1, 3, 4, 5), np.float32, "INT8", 100 - 128)
        assert x.scale == pytest.approx(0.1, rel=2**-23)  # float32
        assert (x.layout, x.device.shape, x.device.dtype, x.device.width_stride) == ("NHWC", (1, 4, 5, 3), np.int8, 16)
        assert (y.name, y.layout, y.device.dtype) == ("y", "NHWC", np.int8)
        assert "rknn_ep simulator" in session.facts["api_version"]
        assert session.facts["library.missing"] == ""


def test_bound_memory_holds_the_devices_codes(tmp_path: Path) -> None:
    with Session(bundle(tmp_path / "q.rknnctx", quantized_identity(), "int8"), device="simulator") as session:
        codes = np.random.default_rng(1).integers(-128, 128, (1, 4, 5, 3)).astype(np.int8)
        with session.bind() as bound:
            where = bound.inputs[0].array.ctypes.data
            bound.inputs[0].array[...] = codes
            bound.run()
            np.testing.assert_array_equal(bound.outputs[0].array, codes)
            assert bound.inputs[0].array.ctypes.data == where
            assert bound.inputs[0].array.strides == (4 * 16 * 3, 16 * 3, 3, 1)  # rows are padded to 16 pixels
        real = session.run([np.transpose((codes.astype(np.float32) + 28) * np.float32(0.1), (0, 3, 1, 2)).copy()])[0]
        session.inputs[0].buffer[...] = codes
        [view] = session.run()
        assert np.shares_memory(view, session.outputs[0].buffer)
        np.testing.assert_array_equal(np.transpose((view.astype(np.float32) + 28) * np.float32(0.1), (0, 3, 1, 2)), real)


def test_bound_memory_in_the_callers_type_and_layout(session: Session) -> None:
    x = random()
    with session.bind(types={"x": "float32", "y": "float32"}, layouts={"x": "NHWC", "y": "NCHW"}) as bound:
        assert bound.inputs[0].array.dtype == bound.outputs[0].array.dtype == np.float32
        bound.inputs[0].array[...] = x.transpose(0, 2, 3, 1)
        bound.run()
        np.testing.assert_array_equal(bound.outputs[0].array, 3 * x)


def test_a_view_outlives_binding_and_session(tripling: Path) -> None:
    x = np.ones(SHAPE, np.float32)
    session = Session(tripling, device="simulator")
    binding = session.bind()
    binding.inputs[0].array[...] = x.transpose(0, 2, 3, 1)
    binding.run()
    view = binding.outputs[0].array[0, 1:]
    binding.close()
    session.close()
    del binding, session
    gc.collect()
    np.testing.assert_array_equal(view, np.full((3, 4, 3), 3, np.float16))


@pytest.mark.parametrize("contexts", [1, 2])
def test_submitted_runs_come_back_as_futures(tripling: Path, contexts: int) -> None:
    inputs = [random(seed=seed) for seed in range(40)]
    with Session(tripling, device="simulator", contexts=contexts, queue=2) as session:
        futures = [session.submit([x]) for x in inputs]
        for x, future in zip(inputs, futures, strict=True):
            np.testing.assert_array_equal(future.result(30)[0], 3 * x)


def test_many_threads_share_a_session(tripling: Path) -> None:
    inputs = [random(seed=seed) for seed in range(8)]
    with Session(tripling, device="simulator", contexts=2) as session, ThreadPoolExecutor(8) as pool:
        for x, [y] in zip(inputs * 20, pool.map(lambda x: session.run([x]), inputs * 20), strict=True):
            np.testing.assert_array_equal(y, 3 * x)


def test_callers_that_wait_take_no_processor(tmp_path: Path) -> None:
    weights = np.ones((2048, 2048), np.float32)
    tensor = TensorProto.FLOAT, [256, 2048]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    proto = model(nodes, [("x", *tensor)], [("y", *tensor)], {"w": weights})
    x = [np.zeros(tensor[1], np.float32)]
    with Session(bundle(tmp_path / "slow.rknnctx", proto), device="simulator") as session, ThreadPoolExecutor(8) as pool:
        session.run(x)

        def used(callers: int) -> float:
            begin = time.process_time()
            list(pool.map(lambda _: session.run(x), range(callers)))
            return time.process_time() - begin

        alone = min(used(1) for _ in range(5))
        # Seven of eight wait: if they asked again and again, it would be several times as much on two processors.
        assert min(used(8) for _ in range(3)) < 1.5 * 8 * alone


@pytest.mark.parametrize("io_mode", ["general", "zero_copy"])
def test_a_camera_picture_goes_in_as_it_is(tripling: Path, io_mode: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (1, 4, 4, 3), np.uint8)
    expected = 3 * picture.transpose(0, 3, 1, 2).astype(np.float32)
    with Session(tripling, device="simulator", io_mode=io_mode) as session:
        np.testing.assert_array_equal(session.run([picture], layout="NHWC")[0], expected)
        np.testing.assert_array_equal(session.submit([picture], layout="nhwc").result(30)[0], expected)
        turned = np.ascontiguousarray(picture.transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(session.run([turned], layout="NCHW")[0], expected)
        with pytest.raises(ShapeError, match=r"'x' is \[1, 4, 4, 3\] as NHWC, not \[1, 3, 4, 4\]"):
            session.run([turned], layout="NHWC")
        with pytest.raises(OptionError, match="layout is NHWC or NCHW"):
            session.run([turned], layout="CHW")


def test_wrong_arrays_are_refused_with_both_shapes(session: Session) -> None:
    x = random()
    for wrong, message in (
        ([x[:, :2]], r"'x' is float32\[1, 3, 4, 4\], not float32\[1, 2, 4, 4\]"),
        ([x.astype(np.float64)], r"not float64\[1, 3, 4, 4\]"),
        ([x, x], "has 1 inputs, not 2"),
        ([], "has 1 inputs, not 0"),
        ({"y": x}, r"the inputs are \['x'\], not \['y'\]"),
        (x, "one array"),
    ):
        with pytest.raises(ShapeError, match=message):
            session.run(wrong)
        with pytest.raises(ShapeError, match=message):
            session.submit(wrong)
    for out in ([], [np.empty((2,), np.float32)], [np.empty(SHAPE, np.float64)], [np.empty(SHAPE, np.float32).T]):
        with pytest.raises(ShapeError):
            session.run([x], out=out)
    with pytest.raises(ShapeError, match="no input or output is called 'nope'"):
        session.bind(types={"nope": "int8"})
    with pytest.raises(ExecutionError, match="does not take 'INT3'"):
        session.bind(types={"x": "int3"})


def test_a_closed_session_says_so(tripling: Path) -> None:
    session = Session(tripling, device="simulator")
    binding = session.bind()
    session.close()
    session.close()
    for call in (lambda: session.run([random()]), lambda: session.submit([random()]), session.bind, session.run):
        with pytest.raises(ExecutionError, match="is closed"):
            call()
    binding.close()
    with pytest.raises(ExecutionError, match="binding is closed"):
        binding.run()


def test_closing_while_others_run(tripling: Path) -> None:
    """Every run either gives the right numbers or says that the session is closed."""
    x = random()
    for attempt in range(20):
        session = Session(tripling, device="simulator", contexts=1 + attempt % 2)
        started = threading.Barrier(5)

        def work(session: Session = session, started: threading.Barrier = started) -> str:
            started.wait()
            try:
                for _ in range(10_000):
                    np.testing.assert_array_equal(session.run([x])[0], 3 * x)
            except ExecutionError as error:
                return str(error)
            return "never closed"

        with ThreadPoolExecutor(5) as pool:
            futures = [pool.submit(work) for _ in range(4)]
            started.wait()
            closers = [pool.submit(session.close)]
            session.close()
            for future in futures:
                assert "is closed" in future.result(60)
            closers[0].result(60)


def test_closing_cancels_what_waits(tripling: Path) -> None:
    session = Session(tripling, device="simulator", queue=50)
    futures = [session.submit([random(seed=seed)]) for seed in range(50)]
    session.close()
    for seed, future in enumerate(futures):
        assert future.done()
        if not future.cancelled():
            np.testing.assert_array_equal(future.result()[0], 3 * random(seed=seed))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"device": "simulater"}, OptionError, "no device is called 'simulater': did you mean 'simulator'"),
        ({"contexts": 0}, ExecutionError, "'contexts' is a whole number from 1 to 64"),
        ({"core_mask": 9}, ExecutionError, "core_mask=9"),
        ({"io_mode": "quick"}, ExecutionError, "'io_mode' is auto, general or zero_copy"),
        ({"simulation": "quick"}, ExecutionError, "rknn_init"),
        ({"queue": -1}, OptionError, "queue is a whole number"),
    ],
)
def test_wrong_options_are_refused(tripling: Path, options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Session(tripling, **{"device": "simulator", **options})


def test_what_is_no_compiled_model_is_refused(tmp_path: Path, tripling: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be read"):
        Session(tmp_path / "nowhere.rknnctx")
    text = tmp_path / "text.onnx"
    text.write_text("no model")
    with pytest.raises(ArtifactError):
        Session(text)
    plain = tmp_path / "plain.onnx"
    onnx.save(quantized_identity(), plain)
    with pytest.raises(ArtifactError, match=r"nothing that was compiled[\s\S]*rknn-ep compile"):
        Session(plain)
    cut = tmp_path / "cut.rknnctx"
    cut.write_bytes(tripling.read_bytes()[:-100])
    with pytest.raises(ArtifactError):
        Session(cut)
    with pytest.raises(ArtifactError):
        Session(tripling.read_bytes()[:5000])


def test_tensors_that_are_no_real_numbers(tmp_path: Path) -> None:
    shape = (1, 2, 3, 5)
    names = {"which": TensorProto.BOOL, "a": TensorProto.INT64, "b": TensorProto.INT64, "chosen": TensorProto.INT64}
    infos = [onnx.helper.make_tensor_value_info(name, kind, shape) for name, kind in names.items()]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Where", ["which", "a", "b"], ["chosen"])], "w", infos[:3], infos[3:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    generator = np.random.default_rng(5)
    which = generator.integers(0, 2, shape).astype(bool)
    a, b = (generator.integers(-(2**62), 2**62, shape) for _ in range(2))
    with Session(bundle_of(tmp_path, model), device="simulator") as session:
        np.testing.assert_array_equal(session.run([which, a, b])[0], np.where(which, a, b))
