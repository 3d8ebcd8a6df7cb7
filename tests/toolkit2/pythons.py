"""Real interpreters in the states that users have them in: with a toolkit of some release, without, broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def environment(folder: Path, toolkit: str = "", module: str | None = None, base: Path = Path(sys.executable)) -> Path:
    """A virtual environment whose metadata says that rknn-toolkit2 `toolkit` is installed.

    Args:
        folder: where to make it.
        toolkit: the release; empty: none.
        module: source of `rknn.api`; None: there is no such module.
        base: the interpreter to make it with.

    Returns:
        Its interpreter.
    """
    subprocess.run([base, "-m", "venv", "--without-pip", folder], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    if toolkit:
        metadata = packages / f"rknn_toolkit2-{toolkit}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: rknn-toolkit2\nVersion: {toolkit}\n")
    if module is not None:
        (packages / "rknn").mkdir()
        (packages / "rknn/__init__.py").touch()
        (packages / "rknn/api.py").write_text(module)
    return folder / "bin/python"
