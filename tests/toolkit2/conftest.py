"""The real toolkit, and a look at what it leaves behind."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rknn_ep_toolkit2.environment import Toolkit, current
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.worker import Workers, folders, workers
from tests.required import missing

JOBS = Path(__file__).parent / "jobs"
SESSIONS = Path(__file__).parent / "sessions"


@pytest.fixture(scope="session")
def toolkit() -> Toolkit:
    """The toolkit that RKNN_EP_TOOLKIT names or that is installed."""
    try:
        return current()
    except ToolkitError as error:
        missing("toolkit2", str(error))


@pytest.fixture
def pool(toolkit: Toolkit) -> Workers:
    """The workers of this process."""
    return workers()


def children(pid: int) -> list[int]:
    """All living descendants of a process."""
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found + [grandchild for child in found for grandchild in children(child)]


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: object, seconds: float = 10) -> bool:
    """Whether `condition()` came true in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder, and one for shared memory, for workers made in the test; afterwards nothing may lie there."""
    temporary, memory = tmp_path / "tmp", Path(tempfile.mkdtemp(prefix="rknn-ep-test-", dir=folders._MEMORY))
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(folders, "_MEMORY", memory)
    try:
        yield temporary
        left = lambda: [*temporary.iterdir(), *memory.iterdir()]  # noqa: E731
        assert wait_until(lambda: not left()), left()
    finally:
        shutil.rmtree(memory)
        monkeypatch.setattr(tempfile, "tempdir", None)
