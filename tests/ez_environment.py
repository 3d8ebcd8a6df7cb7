"""The environment of the wheel ztu-somemodelruntime-ez-rknn-async: a client that nobody here wrote.

It is AGPL: a peer of tests and benchmarks in an environment of its own, never a dependency. RKNN_EP_EZ_RKNN_PYTHON names the
Python of such an environment; without it one is made in the user's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests import models

WHEEL = "ztu-somemodelruntime-ez-rknn-async==0.11.0"


def ez_python() -> Path | str:
    """Python of the environment; or, as text, why there is none."""
    if chosen := os.environ.get("RKNN_EP_EZ_RKNN_PYTHON"):
        return Path(chosen)
    folder = models.ASSETS / "environments" / WHEEL
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "ready").exists():
            for command in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", WHEEL]):
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode:
                    return f"{WHEEL} cannot be installed: {done.stderr.strip()[-300:]}"
            (folder / "ready").touch()
    return python
