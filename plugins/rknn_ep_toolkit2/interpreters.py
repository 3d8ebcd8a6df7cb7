"""Finds a Python that the toolkit has wheels for: the one that runs, those on the path, those of uv and pyenv."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from rknn_ep_toolkit2.environment import find_python
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.requirements import PYTHONS, how_to_get_a_python

_ASK = "import json, sys, ensurepip, venv; print(json.dumps(sys.version_info[:2]))"
_SECONDS = 30


def interpreter(named: Path | None) -> tuple[Path, tuple[int, int]]:
    """A Python to make the environment with, and its version.

    Args:
        named: the user's choice, a path, a command or a version such as 3.11; None: the best one that is found.

    Raises:
        ToolkitError: the one that was named does not fit, or none is found.
    """
    if named is not None:
        wanted = _as_version(str(named))
        path = next(_candidates(wanted), None) if wanted else find_python(named, how_to_get_a_python())
        if path is None:
            raise ToolkitError(f"Python {named} is not found", kind="environment", remedy=how_to_get_a_python())
        version = _version(path)
        if version is None:
            raise ToolkitError(
                f"{path} is no Python that can make virtual environments (venv, ensurepip)",
                kind="environment",
                remedy=how_to_get_a_python(),
            )
        if version not in PYTHONS:
            raise ToolkitError(
                f"rknn-toolkit2 has no wheel for Python {version[0]}.{version[1]} ({path})",
                kind="environment",
                remedy=how_to_get_a_python(),
            )
        return path, version
    for wanted in (sys.version_info[:2], *PYTHONS):
        for path in _candidates(wanted):
            if wanted in PYTHONS and _version(path) == wanted:
                return path, wanted
    running = ".".join(map(str, sys.version_info[:2]))
    raise ToolkitError(
        f"no Python that rknn-toolkit2 has wheels for was found; this one is {running}",
        kind="environment",
        remedy=how_to_get_a_python(),
    )


def _as_version(text: str) -> tuple[int, int] | None:
    """3.11 as (3, 11); None for what is no version: a path or a command."""
    found = re.fullmatch(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else None


def _candidates(version: tuple[int, int]) -> Iterator[Path]:
    name = f"{version[0]}.{version[1]}"
    if version == sys.version_info[:2]:
        yield Path(sys.executable)
    if found := shutil.which(f"python{name}"):
        yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", "") or Path.home() / ".pyenv")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR", "") or Path.home() / ".local/share/uv/python")
    for pattern in (pyenv.glob(f"versions/{name}.*/bin/python{name}"), uv.glob(f"cpython-{name}.*/bin/python{name}")):
        yield from sorted(pattern, reverse=True)


@cache
def _version(path: Path) -> tuple[int, int] | None:
    """The version of an interpreter that can make virtual environments; None for everything else."""
    try:
        done = subprocess.run([path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS, check=False)
        major, minor = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return int(major), int(minor)
