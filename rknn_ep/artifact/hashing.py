"""SHA-256 of files and folders by content, remembered between processes by (size, mtime, inode).

The memo makes a warm start cheap: a folder of calibration pictures costs one `stat` a file. A file that changed
within the last two seconds is never remembered, because a second write in the same clock tick would go unseen.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

from rknn_ep.artifact.atomic import write_atomically
from rknn_ep.errors import ArtifactError

log = logging.getLogger(__name__)

MEMO_NAME = "hashes.json"
ARRAY_SUFFIXES = (".npy", ".npz")
"""Calibration data in one file. Any other file is a list of files, one a line, relative to its own folder, and what they hold is
part of the content."""

_SETTLED_NS = 2_000_000_000
_MOST_REMEMBERED = 50_000


def content_hash(path: Path, memo_directory: Path | None = None) -> str:
    """SHA-256 (hex) over what `path` holds: a file's bytes, or every regular file below a folder with its relative name.

    A file that is not of `ARRAY_SUFFIXES` is a list, hashed with the files that it names. Names, order of directory entries and
    times do not matter beyond the relative names inside a folder.

    Args:
        path: a file or folder.
        memo_directory: folder for the memo of file hashes; None: nothing is remembered.

    Raises:
        ArtifactError: there is no such path, or something below it cannot be read.
    """
    memo = _Memo(memo_directory)
    whole = hashlib.sha256()
    try:
        for name, file in _files(path):
            whole.update(f"{len(name)}:{name}={memo.hash(file)}\n".encode("utf-8", "surrogateescape"))
    except OSError as error:
        raise ArtifactError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    memo.save()
    return whole.hexdigest()


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of one file's bytes; OSError as `open` raises it."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        path.stat()
        yield "", path
        if path.suffix.lower() not in ARRAY_SUFFIXES:
            yield from _listed(path)
        return
    for folder, folders, names in os.walk(path, onerror=_raise):
        folders.sort()
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file():
                yield file.relative_to(path).as_posix(), file


def _listed(path: Path) -> Iterator[tuple[str, Path]]:
    for line in path.read_bytes().splitlines():
        text = line.decode("utf-8", "surrogateescape")
        for name in dict.fromkeys((text.strip(), *text.split())):  # one path with spaces, or one for each input
            file = path.parent / name
            if "\0" not in name and file.is_file():
                yield name, file


def _raise(error: OSError) -> None:
    raise error


class _Memo:
    """File hashes by absolute path; a memo that cannot be read or written is done without."""

    def __init__(self, directory: Path | None) -> None:
        self._path = directory / MEMO_NAME if directory is not None else None
        self._known: dict[str, list[int | str]] = {}
        self._changed = False
        if self._path is None:
            return
        try:
            known = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("%s is damaged and begun anew: %s", self._path, error)
            return
        if isinstance(known, dict):
            self._known = known

    def hash(self, file: Path) -> str:
        status = file.stat()
        stamp: list[int | str] = [status.st_size, status.st_mtime_ns, status.st_ino]
        key = str(file.absolute())
        remembered = self._known.get(key)
        if isinstance(remembered, list) and remembered[:3] == stamp and len(remembered) == 4 and isinstance(remembered[3], str):
            return remembered[3]
        digest = file_hash(file)
        if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
            self._known[key] = [*stamp, digest]
            self._changed = True
        return digest

    def save(self) -> None:
        if self._path is None or not self._changed:
            return
        newest = dict(list(self._known.items())[-_MOST_REMEMBERED:])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, json.dumps(newest).encode("utf-8", "surrogatepass"))
        except OSError as error:
            log.debug("%s cannot be written: %s", self._path, error)
