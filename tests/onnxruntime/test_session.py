"""Sessions: registration, devices, what the provider computes, and how options and messages travel."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

import rknn_ep
from rknn_ep.api import EP_NAME
from rknn_ep.options import _PARSERS
from rknn_ep_onnxruntime import native
from tests.onnxruntime.harness import (
    SHAPE,
    VERSION,
    bundle_of,
    make_model,
    mul_and_sin,
    mul_bundle,
    on_npu,
    open_session,
    random,
    run_python,
)
from tests.required import missing


def test_registering_twice_gives_one_device():
    rknn_ep.register()
    rknn_ep.register()
    devices = [device for device in ort.get_ep_devices() if device.ep_name == EP_NAME]
    assert len(devices) == 1
    if VERSION >= (1, 24):  # before, the CPU stands in: there are no virtual devices
        assert devices[0].device.type == ort.OrtHardwareDeviceType.NPU
        assert devices[0].device.vendor_id == 0x1D87
    assert devices[0].ep_vendor == "Rockchip"


def test_provider_is_listed_by_name():
    if VERSION < (1, 25):
        missing("onnxruntime", "plugin providers are taken by name since 1.25")
    assert EP_NAME in ort.get_available_providers()


def test_claimed_node_runs_on_the_simulator(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    session = open_session(mul_and_sin())
    assert on_npu(session) == ["Mul"]
    x = random()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)


def test_session_by_device_receives_its_options(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    devices = [device for device in ort.get_ep_devices() if device.ep_name == EP_NAME]
    settings.add_provider_for_devices(devices, {"target": "rk3588", "mean": "1,2,3"})
    session = ort.InferenceSession(mul_and_sin().SerializeToString(), settings)
    assert on_npu(session) == ["Mul"]
    assert {"target=rk3588", "mean=1,2,3"} <= set(planner.options[0].splitlines())


def test_planner_hears_of_the_session(planner, tmp_path):
    path = tmp_path / "model with space.onnx"
    path.write_bytes(mul_and_sin().SerializeToString())
    open_session(path, config={"session.disable_cpu_ep_fallback": "0"})
    lines = dict(line.split("=", 1) for line in planner.options[0].splitlines())
    assert lines["ort.version"] == ort.__version__
    assert lines["ort.model_path"] == str(path)
    assert lines["ort.context_enable"] == "0"
    assert lines["ort.disable_cpu_fallback"] == "0"


def test_option_values_keep_line_breaks_and_percent_signs(planner):
    from rknn_ep_onnxruntime.planner import _parse

    open_session(mul_and_sin(), {"report": "100%\nreport=x"})
    assert _parse(planner.options[0])["report"] == "100%\nreport=x"


def test_native_option_names_are_those_of_python():
    names = native.library().rknn_ep_option_names().decode().split("\n")
    assert sorted(names) == sorted([*_PARSERS, "input_shapes"])


def test_library_and_package_have_one_version():
    assert native.library().rknn_ep_version().decode() == rknn_ep.__version__


def test_several_inputs_and_outputs_are_bound_by_name(planner, tmp_path):
    """ONNX Runtime orders a fused node's inputs and outputs as it likes; the bundle has its own order."""
    inside = make_model(
        [helper.make_node("Sub", ["b", "a"], ["d"]), helper.make_node("Add", ["a", "b"], ["s"])],
        {"b": SHAPE, "a": SHAPE},
        {"s": SHAPE, "d": SHAPE},
    )
    outside = make_model(
        [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("Sub", ["b", "a"], ["d"])],
        {"a": SHAPE, "b": SHAPE},
        {"d": SHAPE, "s": SHAPE},
    )
    planner.partitions = [(("Add", "Sub"), bundle_of(tmp_path, inside))]
    session = open_session(outside)
    assert on_npu(session) == ["Add", "Sub"]
    a, b = random(seed=1), random(seed=2)
    results = dict(zip(("d", "s"), session.run(["d", "s"], {"a": a, "b": b}), strict=True))
    np.testing.assert_array_equal(results["d"], b - a)
    np.testing.assert_array_equal(results["s"], a + b)


def test_a_session_without_cpu_fallback_works_when_the_npu_takes_everything(planner, tmp_path):
    planner.partitions = [(("Mul", "Sin"), _whole(tmp_path))]
    session = open_session(mul_and_sin(), config={"session.disable_cpu_ep_fallback": "1"})
    x = random()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)


@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32, TensorProto.FLOAT16, TensorProto.FLOAT])
def test_every_border_type_goes_in_and_out(planner, tmp_path, kind):
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Concat", ["x", "x"], ["y"], axis=1)], "g", [value("x", kind, [2, 3])], [value("y", kind, [2, 6])]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    planner.partitions = [(("Concat",), bundle_of(tmp_path, model))]
    session = open_session(model)
    assert on_npu(session) == ["Concat"]
    x = np.arange(6).reshape(2, 3).astype(helper.tensor_dtype_to_np_dtype(kind))
    np.testing.assert_array_equal(session.run(None, {"x": x})[0], np.concatenate([x, x], axis=1))


def test_iobinding_uses_the_callers_arrays(planner, tmp_path):
    planner.partitions = [(("Mul", "Sin"), _whole(tmp_path))]
    session = open_session(mul_and_sin())
    x, out = random(), np.empty(SHAPE, np.float32)
    binding = session.io_binding()
    binding.bind_cpu_input("x", x)
    binding.bind_output("z", "cpu", 0, np.float32, SHAPE, out.ctypes.data)
    session.run_with_iobinding(binding)
    np.testing.assert_allclose(out, np.sin(3 * x), rtol=0, atol=2**-22)


def test_many_threads_run_one_session(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    session = open_session(mul_and_sin(), {"contexts": "2"})

    def run(seed: int) -> bool:
        x = random(seed=seed)
        return bool(np.allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(run, range(400)))


def test_many_sessions_are_created_and_run_at_once(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]

    def run(seed: int) -> bool:
        session, x = open_session(mul_and_sin()), random(seed=seed)
        return bool(np.allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(run, range(24)))


def test_bodies_of_if_stay_with_onnxruntime(planner, tmp_path):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    body = helper.make_graph(
        [helper.make_node("Mul", ["x", "w"], ["y"])], "body", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, SHAPE)]
    )
    model = make_model(
        [helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body)],
        {"x": SHAPE, "w": [1]},
        {"z": SHAPE},
    )
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    session = open_session(model)
    assert on_npu(session) == []
    assert len(planner.models) == 1
    x = random()
    result = session.run(None, {"x": x, "w": np.float32([3]), "c": np.array(True)})[0]
    np.testing.assert_array_equal(result, 3 * x)


def test_messages_of_the_planner_reach_the_log_of_onnxruntime(tmp_path):
    script = """
import onnx, rknn_ep
from tests.onnxruntime.harness import HandPlanner, mul_and_sin, open_session
from rknn_ep_onnxruntime import native
rknn_ep.register()
made = HandPlanner(act=lambda plan, model: native.library().rknn_ep_plan_log(plan, 2, b"planning was here"))
callback = native.PlanFunction(made.answer)
native.library().rknn_ep_set_planner(callback)
open_session(mul_and_sin())
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert "[W:onnxruntime:" in done.stderr
    assert "planning was here" in done.stderr


def _whole(folder):
    return bundle_of(folder, mul_and_sin())


def test_the_policy_that_prefers_an_npu_finds_ours(planner, tmp_path):
    if VERSION < (1, 24):
        missing("onnxruntime", "there are no virtual devices before 1.24")
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    settings = ort.SessionOptions()
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    settings.set_provider_selection_policy(ort.OrtExecutionProviderDevicePolicy.PREFER_NPU)
    session = ort.InferenceSession(mul_and_sin().SerializeToString(), settings)
    assert on_npu(session) == ["Mul"]


def test_the_real_planner_serves_many_threads_at_once(tmp_path):
    """Four cold starts of one model: one builds, the others wait for it or find it in the cache."""
    weights = numpy_helper.from_array(np.random.default_rng(0).normal(size=(8, 3, 3, 3)).astype(np.float32), "w")
    model = make_model([helper.make_node("Conv", ["x", "w"], ["y"])], {"x": [1, 3, 8, 8]}, {"y": [1, 8, 6, 6]}, [weights])
    options = {"target": "rk3588", "precision": "fp16", "min_partition_macs": "0", "cache_dir": str(tmp_path)}
    x = random((1, 3, 8, 8))

    def run(_: int) -> np.ndarray:
        session = open_session(model, options)
        assert on_npu(session) == ["Conv"]
        return session.run(None, {"x": x})[0]

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(run, range(8)))
    assert all(np.array_equal(result, results[0]) for result in results)
    exact = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.testing.assert_allclose(
        results[0], exact, rtol=0, atol=27 * 2**-11 * np.abs(exact).max()
    )  # 27 products, each of two roundings


def test_warnings_of_planning_reach_the_log_of_onnxruntime(tmp_path):
    script = f"""
import logging, rknn_ep
from rknn_ep import pipeline
from tests.onnxruntime.harness import mul_and_sin, open_session
real = pipeline.build_from_bytes
def build(*arguments, **options):
    logging.getLogger("rknn_ep.somewhere").warning("few %s", "samples")
    return real(*arguments, **options)
pipeline.build_from_bytes = build
rknn_ep.register()
open_session(mul_and_sin(), {{"cache_dir": {str(tmp_path)!r}}})
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert "[W:onnxruntime:" in done.stderr
    assert "few samples" in done.stderr


@pytest.mark.parametrize(("exclude", "taken"), [("Conv", []), ("", ["Conv"])])
def test_that_nothing_runs_is_said_once_and_only_when_it_is_so(tmp_path, exclude, taken):
    """A function is planned twice: as a node that the NPU lacks, and inlined."""
    script = f"""
import numpy as np, onnx, rknn_ep
from onnx import numpy_helper
from tests.onnxruntime.harness import on_npu, open_session
text = '''<ir_version: 9, opset_import: ["" : 17, "mine" : 1]>
    g (float[1,3,32,32] x) => (float[1,8,32,32] y) {{ y = mine.f(x, w) }}
    <domain: "mine", opset_import: ["" : 17]> f (a, b) => (c) {{ c = Conv <pads = [1, 1, 1, 1]> (a, b) }}'''
model = onnx.parser.parse_model(text)
model.graph.initializer.append(numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w"))
rknn_ep.register()
options = {{"precision": "fp16", "min_partition_macs": "0", "exclude_ops": {exclude!r}, "cache_dir": {str(tmp_path)!r}}}
session = open_session(model, options)
assert on_npu(session) == {taken}
for _ in range(2):
    session.run(None, {{"x": np.ones((1, 3, 32, 32), np.float32)}})
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nothing of this model runs on rk3588") == (0 if taken else 1), done.stderr
