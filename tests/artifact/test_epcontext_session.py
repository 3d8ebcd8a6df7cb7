"""A real network compiled ahead of time runs in a new process as it does just in time, without planning."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

import rknn_ep
from tests import models

OPTIONS = {"target": "rk3588", "precision": "fp16", "input_shapes": "x:1,3,48,192"}
RELOAD = """
import sys
import numpy as np, onnxruntime as ort, rknn_ep
rknn_ep.register()
session = ort.InferenceSession(sys.argv[1], providers=["RKNNExecutionProvider", "CPUExecutionProvider"])
np.save(sys.argv[3], session.run(None, {"x": np.load(sys.argv[2])})[0])
print(*(name for name in ("onnx", "onnx_ir", "rknn_ep.partitioning.partitioner") if name in sys.modules))
"""


@pytest.mark.models
@pytest.mark.parametrize("embed_mode", [0, 1])
def test_a_reloaded_model_gives_the_same_bits_without_python_planning(tmp_path: Path, embed_mode: int) -> None:
    folder = tmp_path / "compiled"
    folder.mkdir()
    rknn_ep.compile(models.ppocr_cls(), folder / "cls_ctx.onnx", embed_mode=embed_mode, **OPTIONS)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(0, 1, (1, 3, 48, 192)).astype(np.float32))
    rknn_ep.register()
    feeds = {"x": np.load(tmp_path / "x.npy")}
    compiled = [("RKNNExecutionProvider", {"target": "rk3588"}), "CPUExecutionProvider"]
    expected = ort.InferenceSession(folder / "cls_ctx.onnx", providers=compiled).run(None, feeds)[0]
    arguments = [str(folder / "cls_ctx.onnx"), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    result = subprocess.run([sys.executable, "-c", RELOAD, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [], "planning was imported"
    assert np.array_equal(np.load(tmp_path / "y.npy"), expected)
    # Just in time ONNX Runtime has folded BatchNormalization before, in float32: a float16 step may be another.
    providers = [("RKNNExecutionProvider", OPTIONS), "CPUExecutionProvider"]
    just_in_time = ort.InferenceSession(models.ppocr_cls(), providers=providers).run(None, feeds)[0]
    np.testing.assert_allclose(just_in_time, expected, rtol=2**-9)
    assert len(list(folder.iterdir())) == (2 if embed_mode == 0 else 1)
