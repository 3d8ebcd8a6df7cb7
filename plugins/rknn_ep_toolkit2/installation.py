"""Makes the toolkit's environment: downloads first, then installs from what was downloaded, then tries the import.

An interruption leaves downloads, which the next try takes up, and an environment without a marker, which it makes anew.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from filelock import Timeout

from rknn_ep.errors import OptionError
from rknn_ep_toolkit2 import environment
from rknn_ep_toolkit2.environment import DATA_VARIABLE, DISTRIBUTION, DOWNLOADS, Toolkit, data_folder, installing
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.interpreters import interpreter
from rknn_ep_toolkit2.pip import Pip, has_own_index
from rknn_ep_toolkit2.requirements import CPU_TORCH, DEFAULT_VERSION, GIGABYTES, Requirements, requirements
from rknn_ep_toolkit2.worker.server import MODULE
from rknn_ep_toolkit2.worker.words import last_words

Progress = Callable[[str, float], None]
log = logging.getLogger(__name__)

ARRIVING, TEMPORARY = ".arriving", ".tmp"
"""Within the downloads: the wheel that is on its way, and pip's own files."""
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
        OptionError: `version` is none.
        ToolkitError: no fitting interpreter, or a release or machine that does not fit.
    """
    if not re.fullmatch(r"\d+(\.\d+)+\w*", version):
        raise OptionError(f"'{version}' is no release of {DISTRIBUTION}", remedy=f"The one that is tested: {DEFAULT_VERSION}.")
    environment.require_release(version, f"{DISTRIBUTION} {version} was asked for")
    base, number = interpreter(python)
    name = f"{version}-python{number[0]}.{number[1]}"
    return Plan(version, base, data_folder() / name, data_folder() / DOWNLOADS / name, requirements(number, version))


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
        with _alone(progress):
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


@contextmanager
def _alone(progress: Progress) -> Iterator[None]:
    """A second installation waits, says so, and finds the first one's work."""
    try:
        lock = installing(0).acquire()
    except Timeout:
        progress("waiting for another installation", 0.0)
        lock = installing().acquire()
    with lock:
        yield


def _make(planned: Plan, pip_arguments: Sequence[str], progress: Progress) -> None:
    try:
        _fill(planned, pip_arguments, progress)
    except BaseException:  # what is whole of the downloads is of use, an environment without its end is not
        shutil.rmtree(planned.folder, ignore_errors=True)
        for folder in (planned.downloads / ARRIVING, planned.downloads / TEMPORARY):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (planned.downloads, planned.downloads.parent):
            with suppress(OSError):  # something was downloaded
                folder.rmdir()
        raise


def _fill(planned: Plan, pip_arguments: Sequence[str], progress: Progress) -> None:
    progress("making the environment", 0.0)
    shutil.rmtree(planned.folder, ignore_errors=True)  # nobody knows what a pip that was killed has left in it
    _make_environment(planned)
    pip = Pip(planned.python, planned.downloads / TEMPORARY)
    wheels = _download(planned, pip, pip_arguments, progress)
    toolkit = wheels.pop(planned.requirements.toolkit)
    progress("installing torch, onnx and the others", _DOWNLOADED)
    pip.run(
        ["install", "--only-binary", ":all:", "--progress-bar", "off", *pip_arguments, *map(str, wheels.values())],
        lambda step: progress(f"installing: {step}", 0.8),
    )
    progress("installing rknn-toolkit2", 0.9)
    pip.run(["install", "--no-index", "--no-deps", str(toolkit)], lambda step: None)
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


def _download(planned: Plan, pip: Pip, pip_arguments: Sequence[str], progress: Progress) -> dict[str, Path]:
    """Every pinned wheel by its requirement; those that are there from an earlier try are taken as they are."""
    wanted = planned.requirements
    # The toolkit first: it is small, and a release or Python without a wheel is said before the long work.
    in_order = (wanted.toolkit, wanted.torch, *wanted.others)
    wheels: dict[str, Path] = {}
    for number, one in enumerate(in_order):
        share = 0.05 + (_DOWNLOADED - 0.05) * number / len(in_order)
        progress(f"looking for {one}", share)
        if (there := _wheel(planned.downloads, one)) is None:
            arriving = planned.downloads / ARRIVING
            shutil.rmtree(arriving, ignore_errors=True)
            arriving.mkdir(parents=True)
            _fetch(pip, one, arriving, pip_arguments, one == wanted.torch, partial(_step, progress, share))
            [wheel] = arriving.glob("*.whl")
            there = wheel.rename(planned.downloads / wheel.name)  # whole, or not there
        wheels[one] = there
    return wheels


def _fetch(
    pip: Pip, requirement: str, folder: Path, pip_arguments: Sequence[str], is_torch: bool, step: Callable[[str], None]
) -> None:
    download = ["download", "--dest", str(folder), "--no-deps", "--only-binary", ":all:", "--progress-bar", "off"]
    if is_torch and not has_own_index(pip_arguments):
        try:
            return pip.run([*download, "--retries", "1", "--timeout", "20", "--index-url", CPU_TORCH, requirement], step)
        except ToolkitError as error:
            if error.kind == "disk":
                raise
            log.warning("%s has no torch for us: it is taken from elsewhere, and may be the large one with CUDA", CPU_TORCH)
    return pip.run([*download, *pip_arguments, requirement], step)


def _wheel(folder: Path, requirement: str) -> Path | None:
    """The wheel of a pinned requirement; CPU builds have a local version: torch-2.13.0+cpu."""
    name, _, version = requirement.partition("==")
    name = re.sub(r"[-_.]+", "_", name)
    found = [path for end in ("-", "+") for path in folder.glob(f"{name}-{version}{end}*.whl")]
    return found[0] if found else None


def _step(progress: Progress, share: float, words: str) -> None:
    progress(words, share)


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
