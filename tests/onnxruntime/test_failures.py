"""What goes wrong says so: session creation fails with our text, a run with both shapes, and the process lives on."""

import os
import signal
import sys
import threading
import time

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from rknn_ep.errors import OptionError
from rknn_ep_onnxruntime import native
from tests.onnxruntime.harness import (
    SHAPE,
    bundle_of,
    make_model,
    mul_and_sin,
    mul_bundle,
    on_npu,
    open_session,
    random,
    run_python,
)


def refused(*arguments, **options) -> str:
    """The text with which session creation fails."""
    with pytest.raises(Exception) as caught:
        open_session(*arguments, **options)
    assert type(caught.value).__name__ == "EPFail"  # not one of those that make InferenceSession fall back silently
    return str(caught.value)


def test_an_error_of_the_planner_fails_the_session_with_its_text(planner):
    def act(plan, model):
        raise OptionError("unknown target 'rk3599': did you mean 'rk3588'?")

    planner.act = act
    assert "unknown target 'rk3599': did you mean 'rk3588'?" in refused(mul_and_sin())


def test_the_next_session_works_after_a_failed_one(planner, tmp_path):
    planner.partitions = [(("Mul",), tmp_path / "missing.rknnctx")]
    refused(mul_and_sin(), {"strict": "1"})
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    assert on_npu(open_session(mul_and_sin())) == ["Mul"]


def test_a_graph_of_control_flow_alone_can_fail_too(planner):
    def body(operator):
        out = helper.make_tensor_value_info(f"out_{operator}", TensorProto.FLOAT, SHAPE)
        return helper.make_graph([helper.make_node(operator, ["x"], [out.name])], operator, [], [out])

    model = make_model(
        [helper.make_node("If", ["c"], ["z"], then_branch=body("Sin"), else_branch=body("Cos"))], {"x": SHAPE}, {"z": SHAPE}
    )
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))

    def act(plan, model):
        raise OptionError("no")

    planner.act = act
    assert "no" in refused(model)


def test_without_a_planner_the_message_says_to_compile_first(planner):
    native.library().rknn_ep_set_planner(native.PlanFunction())
    text = refused(mul_and_sin())
    assert "rknn-ep compile" in text
    assert "rknn_ep.register()" in text


@pytest.mark.parametrize("nodes", [[7], [0, 0], []])
def test_a_plan_that_does_not_fit_the_graph_is_refused(planner, tmp_path, nodes):
    bundle = mul_bundle(tmp_path)
    planner.act = lambda plan, model: planner.add(plan, nodes, bundle)
    assert "rknn_0" in refused(mul_and_sin())


def test_a_partition_that_cannot_be_opened_stays_on_the_cpu_loudly(planner, tmp_path, capfd):
    planner.partitions = [(("Mul",), tmp_path / "missing.rknnctx")]
    session = open_session(mul_and_sin())
    assert on_npu(session) == []
    assert "rknn_0" not in capfd.readouterr().out
    x = random()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)


def test_what_stays_on_the_cpu_is_in_the_log(tmp_path):
    script = f"""
from pathlib import Path
import rknn_ep
from tests.onnxruntime.harness import HandPlanner, mul_and_sin, open_session
from rknn_ep_onnxruntime import native
rknn_ep.register()
made = HandPlanner(partitions=[(("Mul",), Path({str(tmp_path / "missing.rknnctx")!r}))])
callback = native.PlanFunction(made.answer)
native.library().rknn_ep_set_planner(callback)
open_session(mul_and_sin())
"""
    done = run_python(script)
    assert done.returncode == 0, done.stderr
    assert "[E:onnxruntime:" in done.stderr
    assert "partition missing stays on the CPU: bundle" in done.stderr


@pytest.mark.parametrize("how", [{"options": {"strict": "1"}}, {"config": {"session.disable_cpu_ep_fallback": "1"}}])
def test_strict_turns_a_partition_that_cannot_be_opened_into_an_error(planner, tmp_path, how):
    model = make_model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        {"x": SHAPE},
        {"y": SHAPE},
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [3.0])],
    )
    planner.partitions = [(("Mul",), tmp_path / "missing.rknnctx")]
    assert "missing.rknnctx" in refused(model, **how)


def test_a_library_that_is_no_rknn_api_is_named_with_what_it_lacks(planner, tmp_path):
    bundle = mul_bundle(tmp_path)
    planner.act = lambda plan, model: planner.add(plan, [0], bundle, library="libm.so.6")
    text = refused(mul_and_sin(), {"strict": "1"})
    assert "libm.so.6" in text
    assert "rknn_init" in text


def test_a_missing_library_is_named(planner, tmp_path):
    bundle = mul_bundle(tmp_path)
    planner.act = lambda plan, model: planner.add(plan, [0], bundle, library="/nowhere/librknnrt.so")
    assert "/nowhere/librknnrt.so" in refused(mul_and_sin(), {"strict": "1"})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"core_mask": "0x8"}, "takes 1, 2, 4, 3, 7"),
        ({"core_mask": "x"}, "bit mask such as 0x7"),
        ({"contexts": "0"}, "from 1 to 64"),
        ({"contexts": "many"}, "from 1 to 64"),
    ],
)
def test_run_time_options_with_impossible_values_are_refused(planner, tmp_path, options, expected):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path))]
    assert expected in refused(mul_and_sin(), {**options, "strict": "1"})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("format=1", "format=9"), "format 9"),
        (("input.0.dims=1,3,4,4", "input.0.dims=1,3,-4,4"), "impossible shape"),
        (("input.0.dims=1,3,4,4", "input.0.dims=65536,65536,65536,65536"), "impossible shape"),
        (("input.0.dtype=FLOAT", "input.0.dtype=STRING"), "STRING"),
        (("inputs=1", "inputs=2"), "input.1.name"),
        (("outputs=1", "outputs=-1"), "outputs"),
    ],
)
def test_a_bundle_that_does_not_fit_is_refused(planner, tmp_path, change, expected):
    planner.partitions = [(("Mul",), mul_bundle(tmp_path, changes=lambda text: text.replace(*change)))]
    assert expected in refused(mul_and_sin(), {"strict": "1"})


@pytest.mark.parametrize(("names", "expected"), [(("q", "y"), "input 'q'"), (("x", "q"), "does not compute 'y'")])
def test_a_bundle_with_other_names_than_the_node_is_refused(planner, tmp_path, names, expected):
    model = make_model([helper.make_node("Sin", [names[0]], [names[1]])], {names[0]: SHAPE}, {names[1]: SHAPE})
    planner.partitions = [(("Mul",), bundle_of(tmp_path, model))]
    assert expected in refused(mul_and_sin())


def test_another_shape_at_run_time_is_refused_with_both_shapes(planner, tmp_path):
    inside = make_model([helper.make_node("Sin", ["x"], ["y"])], {"x": SHAPE}, {"y": SHAPE})
    outside = make_model([helper.make_node("Sin", ["x"], ["y"])], {"x": ["n", 3, "h", "w"]}, {"y": ["n", 3, "h", "w"]})
    planner.partitions = [(("Sin",), bundle_of(tmp_path, inside))]
    session = open_session(outside)
    with pytest.raises(
        Exception, match=r"(?s)input 'x' of partition rknn_0 has the shape \[2,3,4,5\] .* compiled for \[1,3,4,4\]"
    ):
        session.run(None, {"x": random((2, 3, 4, 5))})
    x = random()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.sin(x), rtol=0, atol=2**-22)


def test_a_failing_inference_names_the_partition_and_the_code(planner, tmp_path):
    """Gather with an index outside of its tensor fails inside the device."""
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Gather", ["x", "i"], ["y"])],
        "g",
        [value("x", TensorProto.FLOAT, [4]), value("i", TensorProto.INT64, [2])],
        [value("y", TensorProto.FLOAT, [2])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    planner.partitions = [(("Gather",), bundle_of(tmp_path, model))]
    session = open_session(model)
    x = random((4,))
    with pytest.raises(Exception, match=r"partition rknn_0: rknn_run failed with -\d+ \(RKNN_ERR"):
        session.run(None, {"x": x, "i": np.int64([0, 9])})
    np.testing.assert_array_equal(session.run(None, {"x": x, "i": np.int64([3, 0])})[0], x[[3, 0]])


def test_ctrl_c_while_planning_fails_the_session(planner):
    """ONNX Runtime lets go of the GIL, but Python's handler only runs in the main thread's Python code: the callback's."""

    def act(plan, model):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        for _ in range(1000):
            time.sleep(0.01)

    planner.act = act
    started = time.monotonic()
    assert "KeyboardInterrupt" in refused(mul_and_sin())
    assert time.monotonic() - started < 5


def slow_planning(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning that takes ten seconds and gets a Ctrl-C soon after it began."""
    from rknn_ep import pipeline

    def slow(model, options, *, progress=None):
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        for step in range(1000):
            progress("calibrating", step / 1000)
            time.sleep(0.01)

    monkeypatch.setattr(pipeline, "build_from_bytes", slow)


def test_ctrl_c_inside_the_real_planner_is_a_keyboard_interrupt_in_the_users_program(monkeypatch):
    slow_planning(monkeypatch)
    tracer = sys.gettrace()
    with pytest.raises(KeyboardInterrupt, match="interrupted \\(Ctrl-C\\) while the model was being planned"):
        open_session(mul_and_sin())
    assert sys.gettrace() is tracer
    time.sleep(0.01)  # nothing is left over to interrupt what comes later


def test_a_debugger_survives_ctrl_c_and_then_the_session_says_why_it_failed(monkeypatch):
    def debugger(frame, event, argument):
        return debugger

    slow_planning(monkeypatch)
    sys.settrace(debugger)
    try:
        assert "interrupted (Ctrl-C)" in refused(mul_and_sin())
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(None)


def test_planning_stops_at_its_timeout(monkeypatch):
    from rknn_ep import pipeline

    def slow(model, options, *, progress=None):
        for step in range(1000):
            progress("calibrating", step / 1000)
            time.sleep(0.01)

    monkeypatch.setattr(pipeline, "build_from_bytes", slow)
    monkeypatch.setenv("RKNN_EP_PLAN_TIMEOUT", "0.2")
    text = refused(mul_and_sin())
    assert "RKNN_EP_PLAN_TIMEOUT=0.2" in text
    assert "calibrating" in text


@pytest.mark.parametrize("error", [SystemExit(3), ZeroDivisionError("one"), RecursionError("deep")])
def test_nothing_escapes_from_the_real_planner(monkeypatch, error):
    from rknn_ep import pipeline

    def broken(model, options, *, progress=None):
        raise error

    monkeypatch.setattr(pipeline, "build_from_bytes", broken)
    assert type(error).__name__ in refused(mul_and_sin())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"tarrget": "rk3588"}, "did you mean 'target'"),
        ({"target": "rk3589"}, "did you mean 'rk3588'"),
        ({"device": "simulater"}, "did you mean 'simulator'"),
        ({"precision": "int9"}, "did you mean 'int8'"),
        ({"strict": "perhaps"}, "0 or 1"),
    ],
)
def test_options_are_validated_with_the_nearest_valid_name(options, expected):
    assert expected in refused(mul_and_sin(), options)


def test_the_cpu_is_never_taken_silently(planner):
    """ONNX Runtime ignores errors of GetCapability; ours must still reach the user, and assignments stay true."""

    def act(plan, model):
        native.library().rknn_ep_plan_fail(plan, b"the reason")

    planner.act = act
    with pytest.raises(Exception, match="the reason"):
        open_session(mul_and_sin())


def test_a_model_that_onnxruntime_cannot_read_is_its_own_error(planner):
    broken = mul_and_sin().SerializeToString()[:-40]
    with pytest.raises(Exception, match=r"(?i)protobuf|graph|model"):
        ort.InferenceSession(broken, providers=["RKNNExecutionProvider", "CPUExecutionProvider"])
    assert planner.models == []


def test_a_failing_device_does_not_leak_into_the_next_run(planner, tmp_path):
    model = onnx.ModelProto()
    model.CopyFrom(mul_and_sin())
    planner.partitions = [(("Mul", "Sin"), bundle_of(tmp_path, model))]
    session = open_session(model)
    for _ in range(3):
        with pytest.raises(Exception, match=r"(?i)invalid"):
            session.run(None, {"x": random((1, 3, 4, 5))})  # ONNX Runtime's own check of the model's input
    x = random()
    np.testing.assert_allclose(session.run(None, {"x": x})[0], np.sin(3 * x), rtol=0, atol=2**-22)
