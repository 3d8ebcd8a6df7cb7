"""Thousands of damaged bundles: error codes, never a crash."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.simulator import bundles, driver

ROOT = Path(__file__).resolve().parents[2]


def fuzz(bundle: Path, count: int, seed: int) -> int:
    """How many damaged bundles were taken; fails where the process died."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulator.fuzz", str(bundle), str(count), str(seed)],
        cwd=ROOT,
        env={**os.environ, "RKNN_EP_ONNXRUNTIME": str(driver.onnxruntime_path())},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return int(done.stdout)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A quantised convolution with weights outside the model: every reader has something to read."""
    rng = np.random.default_rng(3)
    weights = rng.integers(-127, 128, (8, 16, 3, 3)).astype(np.int8)
    bias = rng.integers(-999, 999, 8).astype(np.int32)
    proto = bundles.quantized_conv(weights, bias, 0.02, 100, np.full(8, 0.01), 0.1, 120, 6)
    return bundles.bundle(tmp_path_factory.mktemp("damage") / "conv.rknnctx", proto, "int8")


def test_damaged_bundles_never_crash_the_reader(bundle: Path) -> None:
    assert fuzz(bundle, 3000, seed=1) < 1500
