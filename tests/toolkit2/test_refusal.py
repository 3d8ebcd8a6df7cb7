"""A partition that the toolkit refuses, through the public functions: the node is named, the rest goes on, nothing is spoilt."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import rknn_ep
from rknn_ep import hookimpl
from rknn_ep.errors import CompileError, StrictError
from rknn_ep.partitioning.report import Report
from rknn_ep.plugins import Origin
from rknn_ep.records import Capability, CompileRequest, Outcome, Verdict
from rknn_ep_toolkit2.compiler import compile_partition
from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.worker import workers
from tests.toolkit2.conftest import JOBS, alive, children, wait_until
from tests.toolkit2.models import FLOAT, model, node
from tests.toolkit2.test_isolate import chain, normalization, quantized

pytestmark = pytest.mark.toolkit2


def request(content: bytes, precision: str, **options: str) -> CompileRequest:
    from rknn_ep.plugins import plugins

    return CompileRequest(content, plugins().target("rk3588"), precision, "partition_0", (), options)


def error_of(content: bytes, precision: str, **options: str) -> ToolkitError:
    with pytest.raises(ToolkitError) as caught:
        compile_partition(request(content, precision, **options))
    return caught.value


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_compilers_error_names_the_node_and_keeps_the_smallest_model(
    precision: str, toolkit: Toolkit, tmp_path: Path
) -> None:
    float_model = chain(8, {3: normalization()})
    content = quantized(float_model) if precision == "int8" else float_model
    error = error_of(content, precision, keep_failing=str(tmp_path / "failing"))
    assert error.node == "bad3"
    [saved] = (tmp_path / "failing").glob("*.onnx")
    assert "RandomNormalLike" in [one.op_type for one in onnx.load(saved).graph.node]


def test_an_opset_that_is_too_new_names_the_opset(toolkit: Toolkit) -> None:
    shape = (FLOAT, [1, 8, 16, 16])
    gelu = model([node("Gelu", ["x"], ["y"], name="gelu")], {"x": shape}, {"y": shape}, opset=20)
    with pytest.raises(CompileError, match="opset 20, and RKNN-Toolkit2 reads 10 to 19"):
        compile_partition(request(gelu, "fp16"))


def test_a_server_killed_during_a_build_is_an_error_and_the_next_build_works(toolkit: Toolkit) -> None:
    good = chain(4, {})
    server = workers().run(JOBS / "behave.py", {"how": "well"}, timeout=60).values["parent"]
    slow = chain(40, {}, channels=128, size=64)
    with ThreadPoolExecutor(1) as executor:
        building = executor.submit(compile_partition, request(slow, "fp16"))
        assert wait_until(lambda: children(server))
        os.kill(server, signal.SIGKILL)
        with pytest.raises(ToolkitError) as caught:
            building.result(timeout=60)
    assert caught.value.kind == "killed"
    assert not caught.value.lasting
    assert wait_until(lambda: not alive(server))
    assert compile_partition(request(good, "fp16")).entries["rk3588.rknn"][:4] == b"RKNN"


def test_a_time_limit_stops_the_build_and_is_not_remembered(toolkit: Toolkit) -> None:
    error = error_of(chain(60, {}, channels=256, size=64), "fp16", **{"toolkit2.timeout": "1"})
    assert error.kind == "timeout"
    assert "toolkit2.timeout" in error.remedy
    assert not error.node
    assert not error.lasting


# --------------------------------------------------------------------------------------------- the whole way


class Optimist:
    """A plugin whose rule sends every Resize to the NPU, also those that the compiler does not survive."""

    @hookimpl
    def rknn_ep_capabilities(self) -> Iterable[Capability]:
        yield Capability("optimist", lambda facts, target, precision: Verdict(Outcome.NPU), op_types=("Resize",), priority=100)


@pytest.fixture
def optimist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    from rknn_ep import plugins as module

    module.plugins.cache_clear()
    module.plugins().register(Optimist(), Origin("optimist", "tests", "1", "here"))
    monkeypatch.setenv("RKNN_EP_CACHE_DIR", str(tmp_path / "cache"))
    yield
    module.plugins.cache_clear()


def network_with_a_cubic_resize(path: Path) -> Path:
    """Convolutions, a cubic Resize called 'up', convolutions."""
    cubic = node("Resize", ["in", "", "", "sizes"], ["out"], mode="cubic")
    proto = onnx.load_model_from_string(chain(9, {4: cubic}, channels=32, size=32))
    proto.graph.initializer.append(helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 32, 64, 64]))
    for axis in (2, 3):
        proto.graph.output[0].type.tensor_type.shape.dim[axis].dim_value = 64
    next(one for one in proto.graph.node if one.name == "bad4").name = "up"
    onnx.save(proto, path)
    return path


def test_a_partition_that_kills_the_compiler_stays_on_the_cpu_with_its_node_in_the_report(
    toolkit: Toolkit, optimist: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = network_with_a_cubic_resize(tmp_path / "model.onnx")
    compiled = tmp_path / "model_ctx.onnx"
    report = rknn_ep.compile(
        source, compiled, target="rk3588", precision="fp16", device="board", keep_failing=tmp_path / "failing"
    )
    [(_, notes)] = report.to_dict()["sections"]["compilation"].items()
    assert "SIGSEGV" in notes["error"]
    assert "Resize 'up'" in notes["error"]
    assert "stays on the CPU" in caplog.text
    assert (report.partitions, report.macs.inside, report.nodes.inside) == ((), 0, 0)
    assert {(entry.where, entry.reason) for entry in report.verdicts} == {("cpu", "compile")}
    assert "0 partitions, 0.0% of MACs on the NPU" in report.to_table()
    [saved] = (tmp_path / "failing").glob("*.onnx")
    assert [one.op_type for one in onnx.load(saved).graph.node] == ["Resize"]

    # What is left is a correct model, on the CPU.
    import onnxruntime as ort

    value = np.random.default_rng(0).standard_normal((1, 32, 32, 32)).astype(np.float32)
    expected, got = (
        ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"t0": value})[0] for path in (source, compiled)
    )
    assert np.array_equal(expected, got)


def test_strict_makes_the_same_an_error(toolkit: Toolkit, optimist: None, tmp_path: Path) -> None:
    source = network_with_a_cubic_resize(tmp_path / "model.onnx")
    with pytest.raises(StrictError, match="Resize 'up'"):
        rknn_ep.compile(source, tmp_path / "ctx.onnx", target="rk3588", precision="fp16", device="board", strict=True)
    assert not (tmp_path / "ctx.onnx").exists()


def test_a_session_on_the_vendors_simulator_names_the_node_too(toolkit: Toolkit, optimist: None, tmp_path: Path) -> None:
    import onnxruntime as ort

    source = network_with_a_cubic_resize(tmp_path / "model.onnx")
    options = {
        "target": "rk3588",
        "precision": "fp16",
        "device": "toolkit2",
        "strict": "1",
        "keep_failing": str(tmp_path / "kept"),
    }
    rknn_ep.register()
    with pytest.raises(Exception, match=r"(?s)crashed \(SIGSEGV\).*because of Resize 'up'.*exclude_nodes=up"):
        ort.InferenceSession(source, providers=[(rknn_ep.get_ep_name(), options), "CPUExecutionProvider"])
    assert [path.name for path in (tmp_path / "kept").glob("*.onnx")] == ["rknn_0_for_rk3588.onnx"]


def test_what_the_vendors_simulator_refuses_is_on_the_cpu_in_the_sessions_report(
    toolkit: Toolkit, optimist: None, tmp_path: Path
) -> None:
    import onnxruntime as ort

    source = network_with_a_cubic_resize(tmp_path / "model.onnx")
    written = tmp_path / "report.json"
    options = {"target": "rk3588", "precision": "fp16", "device": "toolkit2", "report": str(written)}
    rknn_ep.register()
    for _ in range(2):  # the second session finds its build in the cache, where the partition is whole
        written.unlink(missing_ok=True)
        settings = ort.SessionOptions()
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        session = ort.InferenceSession(source, settings, providers=[(rknn_ep.get_ep_name(), options), "CPUExecutionProvider"])
        assert {graph.ep_name for graph in session.get_provider_graph_assignment_info()} == {"CPUExecutionProvider"}
        report = Report.from_dict(json.loads(written.read_text()))
        assert (report.partitions, report.macs.inside, report.nodes.npu, report.original_nodes.inside) == ((), 0, 0, 0)
        assert {(entry.where, entry.reason) for entry in report.verdicts} == {("cpu", "compile")}
        assert "SIGSEGV" in report.verdicts[0].detail
        assert "because of Resize 'up'" in report.sections["compilation"]["rknn_0"]["error"]


def test_two_processes_compile_the_same_model_into_one_cache(toolkit: Toolkit, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(chain(6, {}, channels=64, size=64))
    code = (
        "import sys, rknn_ep; "
        "rknn_ep.compile('model.onnx', sys.argv[1], target='rk3588', precision='fp16', device='board', min_partition_macs=0)"
    )
    environment = {**os.environ, "RKNN_EP_CACHE_DIR": str(tmp_path / "cache"), "RKNN_EP_TOOLKIT": str(toolkit.python)}
    processes = [
        subprocess.Popen([sys.executable, "-c", code, f"{name}.onnx"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE)
        for name in ("one", "two")
    ]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    one, two = ((tmp_path / f"{name}.onnx").read_bytes() for name in ("one", "two"))
    assert one == two, "each has built its own: the toolkit's output is not reproducible"
    assert b"RKNN" in one
