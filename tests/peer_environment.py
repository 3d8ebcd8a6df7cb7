"""Environments of their own for programs that nobody here wrote: peers of tests and benchmarks, never dependencies.

A variable names the Python of such an environment; without it one is made in the user's cache.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from filelock import FileLock

from tests import models


def python_with(wheel: str, variable: str) -> Path | str:
    """Python of an environment that has `wheel` ("name==version"); or, as text, why there is none."""
    if chosen := os.environ.get(variable):
        return Path(chosen)
    folder = models.ASSETS / "environments" / wheel
    python = folder / "bin" / "python"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "ready").exists():
            for command in ([sys.executable, "-m", "venv", str(folder)], [str(python), "-m", "pip", "install", "-q", wheel]):
                done = subprocess.run(command, check=False, capture_output=True, text=True)
                if done.returncode:
                    return f"{wheel} cannot be installed: {done.stderr.strip()[-300:]}"
            (folder / "ready").touch()
    return python
