"""Private working folders that are always removed: by the server, by the host, or by the next one that comes.

Every server has a root in the temporary folder, for jobs, and one in memory (/dev/shm), for sessions that exchange
tensors. A root holds a lock as long as its host or its server lives; roots whose lock is free were left behind by a
machine's crash or by kill -9 of both, and are removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from rknn_ep_toolkit2.errors import ToolkitError

log = logging.getLogger(__name__)

PREFIX = "rknn-ep-toolkit-"
_LOCK, _UNLOCKED = ".lock", ".lock.new"
_MEMORY = Path("/dev/shm")
_ENOUGH = 64 << 20
"""Free bytes below which /dev/shm is not used: containers often give 64 MB in all."""


@dataclass
class Root:
    """A private folder with a lock."""

    path: Path
    lock: int
    """Descriptor of the locked file; a process that inherits it holds the lock too."""

    @classmethod
    def make(cls, parent: Path) -> Root:
        """Make one below `parent`, after removing what nobody owns any more.

        Raises:
            ToolkitError: there is no room, or the folder cannot be written.
        """
        sweep(parent)
        try:
            path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            lock = os.open(path / _UNLOCKED, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(lock, fcntl.LOCK_EX)
            (path / _UNLOCKED).rename(path / _LOCK)  # whoever sweeps finds it locked, or not at all
        except OSError as error:
            raise no_room(parent, error) from error
        return cls(path, lock)

    def remove(self) -> None:
        """Remove it and all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.release()

    def release(self) -> None:
        """Give the lock back and leave the folder to whoever still holds it."""
        if self.lock >= 0:
            os.close(self.lock)
            self.lock = -1


class JobFolder:
    """The folder of one job: request.json, log, tmp, and work, in which it runs."""

    _numbers = count(1)

    def __init__(self, root: Path) -> None:
        self.path = root / f"job-{next(self._numbers)}"
        self.work = self.path / "work"
        self.log_file = self.path / "log"
        try:
            self.work.mkdir(parents=True)
            (self.path / "tmp").mkdir()
            self.log_file.touch()
        except OSError as error:
            raise no_room(root, error) from error

    def request(self, content: bytes) -> None:
        """Write what is asked for."""
        try:
            (self.path / "request.json").write_bytes(content)
        except OSError as error:
            raise no_room(self.path, error) from error

    def put(self, name: str, content: bytes | Path) -> None:
        """Put a file into the working folder."""
        place = self.work / name
        if not place.resolve().is_relative_to(self.work.resolve()):
            raise ValueError(f"{name} does not lie in the working folder")
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                place.write_bytes(content)
            else:
                shutil.copyfile(content, place)
        except OSError as error:
            raise no_room(place, error) from error

    def remove(self) -> None:
        """Remove it with all that the toolkit left in it."""
        shutil.rmtree(self.path, ignore_errors=True)


def temporary_parent() -> Path:
    """Where the folders of jobs are made."""
    return Path(tempfile.gettempdir())


def memory_parent() -> Path:
    """Where the folders of sessions are made: in memory, if there is enough of it."""
    with contextlib.suppress(OSError):
        if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > _ENOUGH:
            return _MEMORY
    return temporary_parent()


def sweep(parent: Path) -> None:
    """Remove roots whose lock is free. A root that is just being made has no lock file yet, and is left."""
    for path in parent.glob(PREFIX + "*"):
        with contextlib.suppress(OSError):
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.stat().st_uid == os.getuid():
                    log.info("removing %s, left behind by a process that was killed", path)
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def no_room(place: Path, error: OSError) -> ToolkitError:
    """The error for a folder that cannot be written."""
    return ToolkitError(
        f"the toolkit's working folder {place} cannot be written: {error.strerror}",
        kind="disk",
        remedy="Make room there, or set TMPDIR to a folder with room: a build needs some ten times the size of the model.",
    )
