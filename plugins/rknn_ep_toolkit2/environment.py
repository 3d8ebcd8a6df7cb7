"""Which toolkit is used: the environment that `rknn-ep toolkit install` made, or one that was adopted.

    toolkit = current()          # Toolkit(python=..., version="2.5.0")

RKNN_EP_TOOLKIT, the path of a Python that has rknn-toolkit2, goes before everything else. Records live in the user's data
folder (RKNN_EP_DATA_DIR, else the platform's), one folder a version, and two small files: the one that is used, and those
that were adopted.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
from filelock import FileLock

from rknn_ep.artifact.atomic import write_atomically
from rknn_ep_toolkit2.errors import ToolkitError

VARIABLE = "RKNN_EP_TOOLKIT"
DATA_VARIABLE = "RKNN_EP_DATA_DIR"
OLDEST, TOO_NEW = "2.3.0", "3"
"""Releases with the calls that we make; 2.5.0 is the one that is tested."""
DISTRIBUTION = "rknn-toolkit2"
INSTALL = "Install it: rknn-ep toolkit install. Or adopt a Python that has it: rknn-ep toolkit use PYTHON."

DOWNLOADS = "downloads"
"""The folder for what pip fetched, beside the environments."""
_MARKER = "installed.json"
_CHOICE = "current.json"
_ADOPTED = "adopted.json"
_SECONDS = 60
_ASK = """
import json, platform, sys
from importlib.metadata import PackageNotFoundError, version
try:
    found = version("rknn-toolkit2")
except PackageNotFoundError:
    found = ""
print(json.dumps({"python": platform.python_version(), "toolkit": found}))
"""


@dataclass(frozen=True)
class Toolkit:
    """A Python that has rknn-toolkit2."""

    python: Path
    """Its interpreter; never resolved, because a virtual environment is known by its link."""
    version: str
    """Of rknn-toolkit2: 2.5.0."""


def current() -> Toolkit:
    """The toolkit to work with.

    Raises:
        ToolkitError: there is none, or the one that was chosen is gone or of a release that does not fit.
    """
    if named := os.environ.get(VARIABLE, ""):
        return inspect(Path(named))
    known = installed()
    chosen = _read(data_folder() / _CHOICE).get("python")
    if chosen is None:
        if not known:
            raise ToolkitError("rknn-toolkit2 is not installed", kind="environment", remedy=INSTALL)
        return _as_it_is_now(known[-1])
    for toolkit in known:
        if str(toolkit.python) == chosen:
            return _as_it_is_now(toolkit)
    raise ToolkitError(f"the toolkit that was chosen, {chosen}, is gone", kind="environment", remedy=INSTALL)


def installed() -> list[Toolkit]:
    """Every complete installation and every adopted Python that still exists, oldest release first."""
    found = [
        Toolkit(marker.parent / "bin/python", facts["toolkit"])
        for marker in data_folder().glob(f"*/{_MARKER}")
        if "toolkit" in (facts := _read(marker))
    ]
    found += [Toolkit(Path(python), version) for python, version in _read(data_folder() / _ADOPTED).items()]
    return sorted((one for one in found if one.python.exists()), key=lambda one: (_numbers(one.version), str(one.python)))


def unfinished() -> list[Path]:
    """Folders of installations that were begun and not completed: their environments and downloads."""
    folder = data_folder()
    begun = (one for one in folder.glob("*/pyvenv.cfg") if not is_complete(one.parent))
    return sorted([one.parent for one in begun] + [one for one in folder.glob(f"{DOWNLOADS}/*") if one.is_dir()])


def installing(seconds: float = -1) -> FileLock:
    """The lock of whoever installs or removes here; negative seconds wait for ever."""
    data_folder().mkdir(parents=True, exist_ok=True)
    return FileLock(data_folder() / ".lock", timeout=seconds)


def use(python: Path) -> Toolkit:
    """Choose a Python that has the toolkit, one of ours or any other, for this and all later processes.

    Raises:
        ToolkitError: it is no Python, has no toolkit, or one of a release that does not fit.
    """
    python = find_python(python)
    toolkit = inspect(python)
    folder = data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if not python.is_relative_to(folder):
        _write(folder / _ADOPTED, {**_read(folder / _ADOPTED), str(python): toolkit.version})
    _write(folder / _CHOICE, {"python": str(python)})
    return toolkit


def remove(toolkit: Toolkit) -> bool:
    """Delete an installation of ours; an adopted one is only forgotten.

    Returns:
        Whether files were deleted.
    """
    folder = data_folder()
    if _read(folder / _CHOICE).get("python") == str(toolkit.python):
        (folder / _CHOICE).unlink(missing_ok=True)
    adopted = _read(folder / _ADOPTED)
    if adopted.pop(str(toolkit.python), None) is not None:
        _write(folder / _ADOPTED, adopted)
        return False
    environment = toolkit.python.parent.parent
    if environment.parent != folder:
        raise ToolkitError(f"{toolkit.python} is not of rknn-ep's making: it is left alone", kind="environment")
    (environment / _MARKER).unlink(missing_ok=True)  # first: half a folder must not look whole
    shutil.rmtree(environment)
    return True


def chosen() -> Path | None:
    """The Python that `use` chose; None: the newest installation is taken."""
    named = _read(data_folder() / _CHOICE).get("python")
    return None if named is None else Path(named)


def data_folder() -> Path:
    """Where installations and the records of them are kept."""
    base = os.environ.get(DATA_VARIABLE, "") or platformdirs.user_data_dir("rknn-ep")
    return Path(base).absolute() / "toolkit2"


def mark_complete(environment: Path, facts: dict[str, Any]) -> None:
    """Write the marker that makes a folder an installation: the last step."""
    _write(environment / _MARKER, facts)


def is_complete(environment: Path) -> bool:
    """Whether a folder holds a whole installation."""
    return "toolkit" in _read(environment / _MARKER) and (environment / "bin/python").exists()


# --------------------------------------------------------------------------------------------- looking at a Python


def find_python(path: Path, remedy: str = INSTALL) -> Path:
    """The interpreter that `path` means: itself, a command's, or the one of the environment whose folder it is.

    Raises:
        ToolkitError: there is none; `remedy` says what to do.
    """
    if os.sep not in str(path) and not path.exists() and (command := shutil.which(str(path))):
        path = Path(command)
    path = Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  resolve() would leave the virtual environment
    if path.is_dir():
        path = path / "bin/python"
    if not path.is_file() or not os.access(path, os.X_OK):
        raise ToolkitError(f"{path} is not a Python interpreter", kind="environment", remedy=remedy)
    return path


def inspect(python: Path) -> Toolkit:
    """What toolkit a Python has.

    Raises:
        ToolkitError: it is no Python, has no toolkit, or one of a release that does not fit.
    """
    python = find_python(python)
    facts = _ask(python, python.stat().st_mtime_ns)
    if not facts["toolkit"]:
        raise ToolkitError(f"{python} (Python {facts['python']}) has no rknn-toolkit2", kind="environment", remedy=INSTALL)
    version = str(facts["toolkit"])
    require_release(version, f"{python} has rknn-toolkit2 {version}")
    return Toolkit(python, version)


def require_release(version: str, subject: str) -> None:
    """Refuse a release that does not fit.

    Raises:
        ToolkitError: "`subject`, which is too old: ...".
    """
    if not _numbers(OLDEST) <= _numbers(version) < _numbers(TOO_NEW):
        age = "old" if _numbers(version) < _numbers(OLDEST) else "new"
        raise ToolkitError(
            f"{subject}, which is too {age}: {OLDEST} and later will do, below {TOO_NEW}",
            kind="environment",
            remedy="Install a release that fits beside it: rknn-ep toolkit install",
        )


def _as_it_is_now(toolkit: Toolkit) -> Toolkit:
    """A known toolkit that fits: one that was adopted may hold another release by now, ours does not change."""
    if not toolkit.python.is_relative_to(data_folder()):
        return inspect(toolkit.python)
    require_release(toolkit.version, f"{toolkit.python} has rknn-toolkit2 {toolkit.version}")
    return toolkit


@cache
def _ask(python: Path, _modified: int) -> dict[str, Any]:
    """What the interpreter says about itself; asked once in a process."""
    no_python = ToolkitError(f"{python} is not a Python from 3.8", kind="environment", remedy=INSTALL)
    try:
        done = subprocess.run([python, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_SECONDS, check=False)
        facts = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise no_python from error
    if done.returncode != 0 or not isinstance(facts, dict) or "toolkit" not in facts:
        raise no_python
    return facts


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in re.findall(r"\d+", version)[:3])


def _read(path: Path) -> dict[str, Any]:
    """A small JSON object, empty where there is none or it is damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    try:
        write_atomically(path, json.dumps(content, indent=2).encode())
    except OSError as error:
        raise ToolkitError(f"{path} cannot be written: {error.strerror}", kind="disk", remedy=f"Set {DATA_VARIABLE}.") from error
