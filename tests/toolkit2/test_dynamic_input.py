"""A .rknn of several input shapes, as the toolkit makes it with `dynamic_input`: what is read from it and who runs it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

import rknn_ep
from rknn_ep.artifact.rknn_file import read_metadata
from rknn_ep.runtime import Session
from rknn_ep_toolkit2.environment import Toolkit
from tests.toolkit2.models import FLOAT, model, node
from tests.toolkit2.test_device import command

pytestmark = pytest.mark.toolkit2

SIZES = (32, 32), (48, 64), (64, 32)
LARGEST_FIRST = (48, 64), (64, 32), (32, 32)
BUILD = """
import sys
from rknn.api import RKNN
source, result, sizes = sys.argv[1], sys.argv[2], [tuple(map(int, one.split("x"))) for one in sys.argv[3:]]
rknn = RKNN()
rknn.config(target_platform="rk3588", dynamic_input=[[[1, 3, *size]] for size in sizes])
for step in (lambda: rknn.load_onnx(source), lambda: rknn.build(do_quantization=False), lambda: rknn.export_rknn(result)):
    assert step() == 0
"""


def convolutions() -> bytes:
    random = np.random.default_rng(0)
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "v"], ["y"], pads=[1, 1, 1, 1], strides=[2, 2]),
    ]
    weights = {
        name: random.normal(0, 0.2, shape).astype(np.float32) for name, shape in {"w": (8, 3, 3, 3), "v": (4, 8, 3, 3)}.items()
    }
    return model(nodes, {"x": (FLOAT, [1, 3, None, None])}, {"y": (FLOAT, [1, 4, None, None])}, weights)


@pytest.fixture(scope="module")
def rknn(toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dynamic")
    (folder / "model.onnx").write_bytes(convolutions())
    sizes = ["x".join(map(str, size)) for size in SIZES]
    words = [toolkit.python, "-c", BUILD, folder / "model.onnx", folder / "dynamic.rknn", *sizes]
    done = subprocess.run([*map(str, words)], cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "dynamic.rknn"


def test_inspect_shows_every_set_of_shapes_and_the_memory_of_the_largest(rknn: Path) -> None:
    done = command("inspect", rknn, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["shapes"] == [{"x": [1, 3, h, w], "y": [1, 4, h // 2, w // 2]} for h, w in LARGEST_FIRST]
    assert len(found["metadata"]["graphs"]) == len(SIZES)
    largest = read_metadata(rknn).graphs[0]
    [part] = found["memory"]["partitions"]
    assert (part["inputs"], part["outputs"]) == (largest.inputs[0].size, largest.outputs[0].size)
    assert part["inputs"] >= 3 * 48 * 64 * 2  # float16


def test_wrap_says_what_to_do_with_it_instead(rknn: Path, tmp_path: Path) -> None:
    done = command("wrap", rknn, "-o", tmp_path / "wrapped.onnx")
    assert done.returncode == 1 and not (tmp_path / "wrapped.onnx").exists()
    told = " ".join(done.stderr.split())
    assert "several input shapes ([[1, 3, 48, 64]] or [[1, 3, 64, 32]] or [[1, 3, 32, 32]])" in told
    assert "rknn_ep.runtime.Session(path)" in told


def test_a_session_finds_the_choices_and_runs_the_companion_that_we_made(rknn: Path) -> None:
    folder = rknn.parent
    choices = "|".join(f"x:1,3,{h},{w}" for h, w in SIZES)
    options = {"target": "rk3588", "precision": "fp16", "min_partition_macs": 0, "embed_mode": 0, "dynamic_input": choices}
    rknn_ep.compile(folder / "model.onnx", folder / "model_ctx.onnx", **options)
    [bundle] = folder.glob("*.rknnctx")
    bundle.rename(rknn.with_suffix(".rknnctx"))
    with Session(rknn, device="simulator") as vendor, Session(rknn.with_suffix(".rknnctx"), device="simulator") as ours:
        assert vendor.input_shapes == ours.input_shapes == tuple(((1, 3, *size),) for size in LARGEST_FIRST)
        for height, width in SIZES:
            x = np.random.default_rng(height).normal(size=(1, 3, height, width)).astype(np.float32)
            [y] = vendor.run([x])
            assert y.shape == (1, 4, height // 2, width // 2)
            np.testing.assert_array_equal(y, ours.run([x])[0])
