"""`rknn-ep doctor`: a verdict, evidence and a remedy each, and exit codes for scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.board import trees
from tests.cli.conftest import Run


def checks(result: Any) -> dict[str, dict[str, str]]:
    return {item["check"]: item for item in json.loads(result.stdout)["checks"]}


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    def plant(tree: dict[str, str | bytes]) -> None:
        monkeypatch.setenv("RKNN_EP_BOARD_ROOT", str(trees.plant(tmp_path / "board", tree)))
        monkeypatch.setattr("platform.machine", lambda: "aarch64")

    return plant


def test_a_pc_is_well(rknn_ep: Run) -> None:
    result = rknn_ep("doctor", "--json")
    assert result.code == 0
    found = checks(result)
    assert found["onnxruntime"]["verdict"] == found["simulator"]["verdict"] == found["device"]["verdict"] == "ok"
    assert "onnxruntime 1." in found["simulator"]["evidence"]
    assert found["board-soc"]["verdict"] == "skipped"
    assert {item["plugin"] for item in found.values()} >= {"core", "board", "simulator"}


def test_the_table_names_every_check_and_its_remedy(rknn_ep: Run, board) -> None:  # type: ignore[no-untyped-def]
    board(trees.rk3588("0.7.2"))
    result = rknn_ep("doctor")
    assert result.code == 3
    for text in ("board-versions", "driver-too-old", "Use a kernel with driver 0.9.6", "onnxruntime"):
        assert text in result.stdout


def test_a_healthy_board(rknn_ep: Run, board) -> None:  # type: ignore[no-untyped-def]
    board(trees.rk3588())
    result = rknn_ep("doctor", "--json")
    found = checks(result)
    assert result.code == 0
    assert found["device"]["evidence"] == "device=auto is 'board' (soc rk3588, driver_version 0.9.8), target rk3588"
    for name in ("board-soc", "board-driver", "board-permissions", "board-runtime", "board-versions", "board-frequency"):
        assert found[name]["verdict"] == "ok", found[name]


def test_a_clock_that_is_held_down(rknn_ep: Run, board) -> None:  # type: ignore[no-untyped-def]
    board(trees.rk3576())
    found = checks(rknn_ep("doctor", "--json"))["board-frequency"]
    assert found["verdict"] == "warning"
    assert "27700000.npu userspace at 300 of 1000 MHz" in found["evidence"]
    assert "/sys/class/devfreq/27700000.npu/governor" in found["remedy"]
    assert rknn_ep("doctor", "--strict").code == 3


def test_a_board_that_lacks_its_runtime(rknn_ep: Run, board) -> None:  # type: ignore[no-untyped-def]
    tree = trees.rk3588()
    del tree["usr/lib/librknnrt.so"]
    board(tree)
    result = rknn_ep("doctor", "--json")
    assert result.code == 3
    assert "not found" in checks(result)["device"]["evidence"]


def test_an_old_image(rknn_ep: Run, board) -> None:  # type: ignore[no-untyped-def]
    board(trees.rk3568())
    found = checks(rknn_ep("doctor", "--json"))["board-versions"]
    assert found["verdict"] == "error" and "runtime-too-old" in found["evidence"]


def test_a_compiled_model(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "model_ctx.onnx"
    assert rknn_ep("compile", model, "-o", compiled, "--precision", "fp16", "--device", "simulator").code == 0
    found = checks(rknn_ep("doctor", compiled, "--json"))
    assert found["model"]["verdict"] == "warning" and "for the simulator only" in found["model"]["evidence"]
    assert "estimate" in found["model-memory"]["evidence"]
    other = checks(rknn_ep("doctor", compiled, "--target", "rk3566", "--json"))
    assert other["model"]["verdict"] == "error" and "not for rk3566" in other["model"]["evidence"]
    three = checks(rknn_ep("doctor", compiled, "--contexts", "3", "--json"))["model-memory"]["evidence"]
    assert "with 3 contexts" in three


def test_a_truncated_model_is_a_finding(rknn_ep: Run, model: Path, tmp_path: Path) -> None:
    compiled = tmp_path / "model_ctx.onnx"
    rknn_ep("compile", model, "-o", compiled, "--precision", "fp16", "--embed-mode", "0")
    bundle = next(tmp_path.glob("*.rknnctx"))
    bundle.write_bytes(bundle.read_bytes()[:-5000])
    result = rknn_ep("doctor", compiled, "--json")
    assert result.code == 3
    assert checks(result)["model"]["verdict"] == "error"


def test_a_model_that_is_not_compiled_is_estimated(rknn_ep: Run, model: Path) -> None:
    found = checks(rknn_ep("doctor", model, "--target", "rv1106", "--json"))
    assert found["model-memory"]["verdict"] == "ok"
    assert "estimate" in found["model-memory"]["evidence"]


def test_a_model_that_does_not_fit_its_soc(rknn_ep: Run, tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = numpy_helper.from_array(np.zeros((16, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2160, 3840])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 16, 2160, 3840])],
        [weights],
    )
    path = tmp_path / "large.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    result = rknn_ep("doctor", path, "--target", "rv1106", "--json")
    assert result.code == 3
    found = checks(result)["model-memory"]
    assert found["verdict"] == "error" and "256 MiB at most" in found["evidence"]
    assert checks(rknn_ep("doctor", path, "--json"))["model-memory"]["verdict"] == "ok"


def test_memory_that_is_free_on_the_board(rknn_ep: Run, board, model: Path) -> None:  # type: ignore[no-untyped-def]
    tree = trees.rk3588() | {"proc/meminfo": "MemTotal: 1000000 kB\nMemAvailable: 100 kB\n"}
    board(tree)
    found = checks(rknn_ep("doctor", model, "--json"))["board-memory"]
    assert found["verdict"] == "error" and "free" in found["evidence"]


def test_the_compiler_of_a_rknn_is_held_against_the_runtime(rknn_ep: Run, board) -> None:  # type: ignore[no-untyped-def]
    board(trees.rk3588())
    rknn = Path(__file__).parents[1] / "artifact" / "data" / "two_convolutions_rk3588_int8.rknn"
    found = checks(rknn_ep("doctor", rknn, "--json"))
    assert found["model"]["verdict"] == "ok"
    assert "vendor compiler" in found["model-memory"]["evidence"]
    assert "runtime-older-than-toolkit" in found["board-versions"]["evidence"]


def test_wrong_usage(rknn_ep: Run, tmp_path: Path) -> None:
    assert rknn_ep("doctor", "--target", "rk9999").code == 2
    missing = rknn_ep("doctor", tmp_path / "none.onnx")
    assert missing.code == 1 and "none.onnx" in missing.stderr


def test_a_check_that_fails_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    from rknn_ep.health import examine, worst
    from rknn_ep.plugins import Origin, PluginManager
    from rknn_ep.records import Health, HealthCheck, HealthContext

    class Plugin:
        from rknn_ep.hookspecs import hookimpl

        @hookimpl
        def rknn_ep_health_checks(self):  # type: ignore[no-untyped-def]
            yield HealthCheck("raises", lambda: 1 // 0)  # type: ignore[arg-type, return-value]
            yield HealthCheck("model", lambda context: Health("ok", str(context.model)), takes_context=True)
            yield HealthCheck("nonsense", lambda: Health("fine", ""))

    manager = PluginManager()
    manager.register(Plugin(), Origin("mine", "mine", "1", "here"))
    found = {finding.check: finding.health for finding in examine(HealthContext(Path("m.onnx")), manager)}
    assert found["raises"].verdict == "error" and "ZeroDivisionError" in found["raises"].evidence
    assert found["model"].evidence == "m.onnx"
    assert found["nonsense"].verdict == "error"
    assert worst(examine(HealthContext(), manager)) == "error"
