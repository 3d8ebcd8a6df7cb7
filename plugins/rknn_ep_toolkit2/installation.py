"""Makes the toolkit's environment: downloads first, then installs from what was downloaded, then tries the import.

An interruption leaves downloads, which the next try takes up, and an environment without a marker, which it makes anew.
"""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from rknn_ep_toolkit2 import environment
from rknn_ep_toolkit2.environment import DATA_VARIABLE, Toolkit, data_folder
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.interpreters import interpreter
from rknn_ep_toolkit2.pip import has_own_index, run_pip
from rknn_ep_toolkit2.requirements import CPU_TORCH, DEFAULT_VERSION, GIGABYTES, Requirements, requirements
from rknn_ep_toolkit2.worker.server import MODULE
from rknn_ep_toolkit2.worker.words import last_words

Progress = Callable[[str, float], None]
log = logging.getLogger(__name__)

_PACKAGES = 20
"""How many packages a download comes to, roughly; only for the progress bar."""
_IMPORT_SECONDS = 300
_DOWNLOADED, _INSTALLED = 0.7, 0.95


@dataclass(frozen=True)
class Plan:
    """What an installation will do."""

    version: str
    base: Path
    """The interpreter that the environment is made with."""
    folder: Path
    """The environment."""
    downloads: Path
    requirements: Requirements

    @property
    def python(self) -> Path:
        """The environment's interpreter."""
        return self.folder / "bin/python"


def plan(version: str = DEFAULT_VERSION, python: Path | None = None) -> Plan:
    """What `install` would do.

    Raises:
        ToolkitError: no fitting interpreter, or a release or machine that the toolkit does not know.
    """
    base, number = interpreter(python)
    name = f"{version}-python{number[0]}.{number[1]}"
    return Plan(version, base, data_folder() / name, data_folder() / "downloads" / name, requirements(number, version))


def install(planned: Plan, *, pip_arguments: Sequence[str] = (), force: bool = False, progress: Progress) -> Toolkit:
    """Make the environment, or finish what was begun; one that is complete already is left as it is.

    Args:
        planned: from `plan`.
        pip_arguments: for pip's downloads: a mirror's `--index-url`, or `--no-index --find-links FOLDER`.
        force: make it anew even if it is complete.
        progress: called as the work goes on.

    Raises:
        ToolkitError: no room, pip's refusal, or a toolkit that cannot be imported in the end.
    """
    try:
        data_folder().mkdir(parents=True, exist_ok=True)
        with FileLock(data_folder() / ".lock"):  # a second installation waits, and finds the first one's work
            if force and planned.folder.exists():
                shutil.rmtree(planned.folder)
            if not environment.is_complete(planned.folder):
                _require_room(data_folder())
                _make(planned, pip_arguments, progress)
            toolkit = Toolkit(planned.python, planned.version)
            environment.use(toolkit.python)
            return toolkit
    except OSError as error:
        raise ToolkitError(
            f"{error.filename or data_folder()} cannot be written: {error.strerror}",
            kind="disk",
            remedy=f"Make room, or set {DATA_VARIABLE} to another folder; then run the same command again.",
        ) from error


def _make(planned: Plan, pip_arguments: Sequence[str], progress: Progress) -> None:
    progress("making the environment", 0.0)
    if planned.folder.exists():  # nobody knows what an interrupted pip has left in it
        shutil.rmtree(planned.folder)
    _make_environment(planned)
    planned.downloads.mkdir(parents=True, exist_ok=True)
    _download(planned, pip_arguments, progress)
    from_downloads = ["--no-index", "--find-links", str(planned.downloads), "--quiet"]
    progress("installing torch, onnx and the others", _DOWNLOADED)
    run_pip(
        planned.python, ["install", *from_downloads, *planned.requirements.others, planned.requirements.torch], lambda step: None
    )
    progress("installing rknn-toolkit2", 0.9)
    run_pip(planned.python, ["install", *from_downloads, "--no-deps", planned.requirements.toolkit], lambda step: None)
    progress("trying the import", _INSTALLED)
    _try_import(planned)
    environment.mark_complete(
        planned.folder,
        {
            "toolkit": planned.version,
            "python": str(planned.base),
            "requirements": asdict(planned.requirements),
            "installed": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    shutil.rmtree(planned.downloads, ignore_errors=True)
    progress("done", 1.0)


def _make_environment(planned: Plan) -> None:
    done = subprocess.run([planned.base, "-I", "-m", "venv", planned.folder], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = last_words(done.stderr or done.stdout)
        raise ToolkitError(
            f"{planned.base} cannot make a virtual environment: {words}",
            kind="disk" if "No space left" in done.stdout + done.stderr else "environment",
            log=done.stdout + done.stderr,
            remedy=f"On Debian and Ubuntu: apt-get install {planned.base.name}-venv. Or name another with --python.",
        )


def _download(planned: Plan, pip_arguments: Sequence[str], progress: Progress) -> None:
    seen: set[str] = set()

    def step(words: str) -> None:
        seen.add(words)
        progress(words, min(0.05 + 0.6 * len(seen) / (2 * _PACKAGES), 0.65))

    common = ["download", "--dest", str(planned.downloads), "--only-binary", ":all:", "--progress-bar", "off"]
    # The toolkit first: it is small, and a release or Python without a wheel is said before the long work.
    toolkit = planned.requirements.toolkit
    run_pip(planned.python, [*common, "--no-deps", *pip_arguments, toolkit], step)
    if not has_own_index(pip_arguments):
        try:
            quickly = ["--retries", "1", "--timeout", "20"]
            run_pip(planned.python, [*common, *quickly, "--no-deps", "--index-url", CPU_TORCH, planned.requirements.torch], step)
        except ToolkitError as error:
            if error.kind == "disk":
                raise
            log.warning("%s has no torch for us: it is taken from elsewhere, and may be the large one with CUDA", CPU_TORCH)
    found_already = ["--find-links", str(planned.downloads)]
    run_pip(
        planned.python, [*common, *found_already, *pip_arguments, *planned.requirements.others, planned.requirements.torch], step
    )


def _try_import(planned: Plan) -> None:
    script = f"import {MODULE}, json; print(json.dumps('imported'))"
    try:
        done = subprocess.run(
            [planned.python, "-I", "-c", script],
            capture_output=True,
            text=True,
            timeout=_IMPORT_SECONDS,
            check=False,
            cwd=planned.folder,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolkitError(f"the import of the toolkit hangs: {planned.python}", kind="start") from error
    if done.returncode != 0 or json.dumps("imported") not in done.stdout:
        raise ToolkitError(
            f"rknn-toolkit2 {planned.version} was installed and cannot be imported: {last_words(done.stderr)}",
            kind="start",
            log=done.stderr,
            remedy="If a shared library is missing, install the system's package that has it, and run the same command again.",
        )


def _require_room(folder: Path) -> None:
    free = shutil.disk_usage(folder).free / 1e9
    if free < GIGABYTES:
        raise ToolkitError(
            f"the toolkit's environment needs {GIGABYTES:g} GB while it is installed, and {folder} has {free:.1f} GB free",
            kind="disk",
            remedy=f"Make room, or set {DATA_VARIABLE} to a folder elsewhere.",
        )
