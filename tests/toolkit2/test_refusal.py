"""A partition that the toolkit refuses, through the public functions: the node is named, the rest goes on, nothing is spoilt."""

from __future__ import annotations

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import onnx
import pytest

from rknn_ep.errors import CompileError
from rknn_ep.records import CompileRequest
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
    assert "toolkit2.timeout" in error.remedy or "exclude_nodes" in error.remedy
    assert not error.lasting
