"""The cache of what was compiled: plans as JSON, bundles as files, shared by any number of processes.

    cache = Cache(options.cache_dir)
    with cache.lock(key):
        if (plan := cache.get_plan(key)) is None: ...
            bundle = cache.put_bundle(f"{key}-rknn_0", lambda path: write_bundle(path, entries, manifest))
            cache.put_plan(key, plan)

What is read is verified; what is damaged is removed, logged and reported as absent, so that the caller builds it
again. What cannot be kept (full disk, read-only folder) is logged once and goes to a temporary folder that lives as
long as the process.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rknn_ep.artifact.atomic import TEMPORARY_PREFIX, replacing, write_atomically
from rknn_ep.artifact.bundle import Bundle
from rknn_ep.errors import ArtifactError

log = logging.getLogger(__name__)

DIRECTORY_VARIABLE = "RKNN_EP_CACHE_DIR"
LIMIT_VARIABLE = "RKNN_EP_CACHE_LIMIT_GIB"
DEFAULT_LIMIT_GIB = 20.0
BUNDLE_SUFFIX = ".rknnctx"

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_IN_USE_SECONDS = 3600.0
_LOCK_NOTICE_SECONDS = 2.0


def default_directory() -> Path:
    """Where the cache lies unless the option `cache_dir` says otherwise: RKNN_EP_CACHE_DIR, else the user's cache folder."""
    if chosen := os.environ.get(DIRECTORY_VARIABLE):
        return Path(chosen).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("rknn_ep")


class Cache:
    """One cache folder. Creating the object touches nothing on disk."""

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = directory if directory is not None else default_directory()
        self._plans = self.directory / "plans"
        self._bundles = self.directory / "bundles"
        self._warned = False

    # ----------------------------------------------------------------------------------------- plans

    def get_plan(self, key: str) -> dict[str, Any] | None:
        """The plan that was put under `key`, or None."""
        path = self._plans / f"{_checked(key)}.json"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("cannot be read", error)
            return None
        digest, _, body = content.partition(b"\n")
        plan = None
        if digest.decode("ascii", "replace") == hashlib.sha256(body).hexdigest():
            with contextlib.suppress(ValueError):
                plan = json.loads(body)
        if isinstance(plan, dict):
            _mark_used(path)
            return plan
        self._remove_damaged(path, "its checksum is wrong")
        return None

    def put_plan(self, key: str, plan: Mapping[str, Any]) -> None:
        """Keep a JSON-like mapping under `key`; where the folder cannot be written this is logged and nothing is kept."""
        body = json.dumps(plan).encode()
        path = self._plans / f"{_checked(key)}.json"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        except OSError as error:
            self._warn("cannot be written", error)

    # ----------------------------------------------------------------------------------------- bundles

    def get_bundle(self, key: str) -> Path | None:
        """The verified bundle that was put under `key`, or None. Verified again only when the file has changed since."""
        path = self._bundles / f"{_checked(key)}{BUNDLE_SUFFIX}"
        try:
            status = path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._warn("cannot be read", error)
            return None
        try:
            _verify(path, status.st_size, status.st_mtime_ns, status.st_ino)
        except ArtifactError as error:
            self._remove_damaged(path, error.message)
            return None
        _mark_used(path)
        return path

    def put_bundle(self, key: str, write: Callable[[Path], None]) -> Path:
        """Let `write` write a bundle to the path it is given and keep it under `key`.

        Returns:
            Where it lies: in the cache, or in a temporary folder of this process where the cache cannot take it.

        Raises:
            ArtifactError: neither can take it.
        """
        name = f"{_checked(key)}{BUNDLE_SUFFIX}"
        path = self._bundles / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as unfinished:
                write(unfinished)
            self.prune()
            return path
        except (OSError, ArtifactError) as error:
            self._warn("cannot be written", _storage_error(error))
        path = _process_directory(os.getpid()) / name
        try:
            write(path)
        except (OSError, ArtifactError) as error:
            reason = _storage_error(error)
            raise ArtifactError(
                f"neither the cache {self.directory} nor the temporary folder {path.parent} can take a compiled partition: "
                f"{reason.strerror or reason}",
                remedy=f"Free some space, or set cache_dir or {DIRECTORY_VARIABLE} to a folder that has it.",
            ) from error
        return path

    # ----------------------------------------------------------------------------------------- many processes

    @contextlib.contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Keep other processes and threads from building `key` at the same time; in a read-only cache nobody is kept."""
        from filelock import FileLock, Timeout

        path = self.directory / "locks" / f"{_checked(key)}.lock"
        held = FileLock(path, thread_local=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.acquire(timeout=_LOCK_NOTICE_SECONDS)
            except Timeout:
                log.info("another process is building the same model; waiting for it (%s)", path)
                held.acquire()
        except OSError as error:
            self._warn("cannot be locked", error)
        try:
            yield
        finally:
            held.release()

    def prune(self, limit_bytes: int | None = None) -> int:
        """Remove the entries that were not used for longest until the rest fits the limit, and what writers left behind.

        Nothing that was used within the last hour is removed.

        Args:
            limit_bytes: None: RKNN_EP_CACHE_LIMIT_GIB, by default 20 GiB.

        Returns:
            How many bytes were freed.
        """
        limit = _limit() if limit_bytes is None else limit_bytes
        long_ago = time.time() - _IN_USE_SECONDS
        entries = sorted((*_entries(self._bundles), *_entries(self._plans)))
        total = sum(size for _, size, _ in entries)
        freed = 0
        for used, size, path in entries:
            abandoned = path.name.startswith(TEMPORARY_PREFIX)
            if used < long_ago and (abandoned or total - freed > limit):
                with contextlib.suppress(OSError):
                    path.unlink()
                    freed += size
        return freed

    # ----------------------------------------------------------------------------------------- trouble

    def _remove_damaged(self, path: Path, why: str) -> None:
        log.warning("cache entry %s is damaged and will be built again: %s", path, why)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            self._warn("cannot be cleaned", error)

    def _warn(self, what: str, error: OSError) -> None:
        if not self._warned:
            log.warning(
                "the cache %s %s (%s): going on without it, so the next session compiles again; "
                "set cache_dir or %s to a folder that can be written",
                self.directory,
                what,
                error.strerror or error,
                DIRECTORY_VARIABLE,
            )
            self._warned = True


@functools.lru_cache(maxsize=1024)
def _verify(path: Path, size: int, modified_ns: int, inode: int) -> None:
    """Open the bundle with every checksum; asked again for the same file in the same state, it does nothing."""
    Bundle.open(path)


@functools.cache
def _process_directory(process: int) -> Path:
    """A temporary folder that is removed when the process of this id ends, and not when a fork of it does."""
    try:
        path = Path(tempfile.mkdtemp(prefix="rknn_ep-"))
    except OSError as error:
        raise ArtifactError(f"no temporary folder can be made: {error.strerror}") from error
    atexit.register(lambda: shutil.rmtree(path, ignore_errors=True) if os.getpid() == process else None)
    return path


def _entries(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """(time of last use, size, path) of each file; what other processes remove meanwhile is left out."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            with contextlib.suppress(OSError):
                status = path.stat()
                yield max(status.st_atime, status.st_mtime), status.st_size, path


def _mark_used(path: Path) -> None:
    """Set the time of last use, which `prune` goes by; a read-only cache does without."""
    with contextlib.suppress(OSError):
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def _storage_error(error: OSError | ArtifactError) -> OSError:
    """The OSError that `error` is or comes from; an error of another origin is raised again."""
    cause = error if isinstance(error, OSError) else error.__cause__
    if not isinstance(cause, OSError):
        raise error
    return cause


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ArtifactError(f"{key[:80]!r} cannot be a cache key: letters, digits, '_', '.' and '-' can")
    return key


def _limit() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        gib = float(text) if text else DEFAULT_LIMIT_GIB
    except ValueError:
        log.warning("%s is not a number of GiB: '%s'; %g is used", LIMIT_VARIABLE, text, DEFAULT_LIMIT_GIB)
        gib = DEFAULT_LIMIT_GIB
    return int(gib * 2**30)
