"""Files that are there whole or not at all, whatever happens to the process or the machine in between."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

TEMPORARY_PREFIX = ".writing-"
"""How the names of files that are not finished begin."""


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name in `path`'s folder; on leaving, what was written there becomes `path`, synced to disk.

    On an exception the temporary file is removed and `path` stays as it was. OSError as the file system raises it, of `path`.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(4)}-{path.name[-100:]}")
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and str(error.filename) == str(temporary):
            error.filename = str(path)  # nobody knows the other name
        raise
    _sync(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` as the whole of `path`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def _sync(path: Path) -> None:
    """Flush a file, or a folder's entries, to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        if not path.is_dir():  # some file systems cannot sync a folder
            raise
    finally:
        os.close(descriptor)
