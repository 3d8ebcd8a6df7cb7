"""Programs that nobody here wrote, against our librknnrt.so: the wheel ztu-somemodelruntime-ez-rknn-async."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

import rknn_ep
from rknn_ep.runtime import Session
from rknn_ep_simulator.environment import environment
from rknn_ep_simulator.stand_in import write_stand_in
from tests import ez_environment, models
from tests.required import missing

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ez_python() -> Path:
    found = ez_environment.ez_python()
    if isinstance(found, str):
        missing("ez-rknn", found)
    return Path(found)


@pytest.mark.models
def test_ez_rknn_async_runs_ppocr_as_we_do(ez_python: Path, tmp_path: Path) -> None:
    rknn_ep.compile(
        models.ppocr_det(), tmp_path / "det.onnx", target="rk3588", precision="fp16", input_shapes="x:1,3,480,480", embed_mode=0
    )
    bundle = next(tmp_path.glob("*.rknnctx"))
    model = write_stand_in(bundle, tmp_path / "elsewhere.rknn")  # found by its custom string, not by its name
    pictures = np.stack([picture.transpose(2, 0, 1)[None] / np.float32(127.5) - 1 for picture in models.text_pictures(2)])
    pictures = pictures.astype(np.float16).astype(np.float32)  # what the device holds: every way in gives the same
    np.save(tmp_path / "pictures.npy", pictures)
    command = [str(ez_python), str(Path(__file__).parent / "ez_client.py"), str(model), "pictures.npy", "outputs.npz"]
    variables = {**os.environ, **environment()}
    variables.pop("PYTHONPATH", None)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=variables, cwd=tmp_path, timeout=900)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    outputs = np.load(tmp_path / "outputs.npz")

    with Session(bundle, device="simulator") as session:
        ours = np.stack([session.run([picture])[0] for picture in pictures])
    np.testing.assert_array_equal(outputs["plain"], ours)
    np.testing.assert_array_equal(outputs["pool"], np.concatenate([ours] * 4))
    np.testing.assert_array_equal(outputs["binding"].reshape(ours.shape), ours.astype(np.float16).astype(np.float32))
