"""Any number in any argument: a code, never a crash. Hypothesis runs in a process of its own, so that a crash shows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.simulator import bundles


def test_no_argument_crashes_the_library(tmp_path: Path) -> None:
    path = bundles.bundle(tmp_path / "q.rknnctx", bundles.quantized_identity((1, 3, 4, 5)), "int8")
    command = [sys.executable, "-m", "tests.simulator.hostile", str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
