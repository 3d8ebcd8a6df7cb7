"""The workers of this process: one server for each toolkit, a limited number of jobs at once, safe in threads and forks."""

from __future__ import annotations

import atexit
import json
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from rknn_ep.errors import OptionError
from rknn_ep_toolkit2.environment import Toolkit, current
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.worker import outcome
from rknn_ep_toolkit2.worker.child import Child, Progress
from rknn_ep_toolkit2.worker.folders import JobFolder
from rknn_ep_toolkit2.worker.server import Server, ServerLostError
from rknn_ep_toolkit2.worker.session import DEFAULT_SECONDS, RemoteSession
from rknn_ep_toolkit2.worker.words import cleaned

log = logging.getLogger(__name__)

JOBS_VARIABLE = "RKNN_EP_TOOLKIT_JOBS"
SHARE = 0.75
"""Of the machine's memory, for all jobs at once: a build that runs away must not take the host program with it."""
_ACCEPT_SECONDS = 60.0
_ATTEMPTS = 3
_TICK = 0.1


@dataclass(frozen=True)
class JobResult:
    """What a job gave."""

    values: dict[str, Any]
    """What its `run` returned."""
    files: dict[str, bytes]
    """The files asked for in `collect`, those that exist."""
    log: str
    """All that the toolkit wrote, without colours."""
    seconds: float = 0.0
    """From the fork to the answer."""
    peak_memory: int = 0
    """Bytes that its process held at most."""
    crashed_before: str = ""
    """How the first process ended, where it took a second one (`second_try`)."""


class Workers:
    """Runs jobs and opens sessions in the toolkit's own Python."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._fresh()
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget_in_child)

    def _fresh(self) -> None:
        jobs = self._limit or jobs_at_once()
        self._slots, self._share = threading.BoundedSemaphore(jobs), int(SHARE * memory_of_the_machine() / jobs)
        self._lock = threading.Lock()
        self._servers: dict[Path, Server] = {}
        self._living: weakref.WeakSet[Server | Child | RemoteSession] = weakref.WeakSet()

    # ------------------------------------------------------------------------------------- asking

    def run(
        self,
        job: str | Path,
        arguments: Mapping[str, Any],
        *,
        files: Mapping[str, bytes | Path] | None = None,
        collect: Sequence[str] = (),
        timeout: float = DEFAULT_SECONDS,
        memory_limit: int | None = None,
        cancel: threading.Event | None = None,
        progress: Progress | None = None,
        toolkit: Toolkit | None = None,
        second_try: bool = False,
    ) -> JobResult:
        """Run a job in a process of its own and wait for it.

        Args:
            job: name of a module of `remote.jobs`, or path of a file like one.
            arguments: what its `run` gets; what JSON can carry.
            files: put into its working folder before, by relative name.
            collect: files of its working folder to bring back, by relative name; those that are missing are left out.
            timeout: seconds that it may take, not counting the wait for a free place.
            memory_limit: resident bytes that it may hold, with the 260 MB of the toolkit itself; None: its part of `SHARE`.
            cancel: set it from another thread to stop the job.
            progress: called with what the job reports.
            toolkit: which one; None: the current one.
            second_try: run it once more if it crashes, in a process whose memory holds zeros where nothing was written:
                the compiler reads such memory now and then, and a process like the first would crash like the first.

        Raises:
            ToolkitError: no toolkit, or any of the ways to fail; nothing of the job is left behind.
        """
        request = {"name": str(job), "arguments": dict(arguments)}

        def once(**more: Any) -> JobResult:
            with self._place(str(job), cancel):
                child = self._start(request | more, files or {}, toolkit, memory_limit, session=False)
                return _result(child, collect, timeout, cancel, progress)

        try:
            return once()
        except ToolkitError as error:
            if not (second_try and error.crashed):
                raise
            log.info("%s; once more in another process", error.message)
            crashed = error.message
        return replace(once(zeroed=True), crashed_before=crashed)

    def open(
        self,
        session: str | Path,
        arguments: Mapping[str, Any],
        *,
        files: Mapping[str, bytes | Path] | None = None,
        timeout: float = DEFAULT_SECONDS,
        memory_limit: int | None = None,
        cancel: threading.Event | None = None,
        progress: Progress | None = None,
        toolkit: Toolkit | None = None,
    ) -> RemoteSession:
        """Open a session: a process that keeps its state between calls. Arguments and errors as `run`."""
        request = {"name": str(session), "arguments": dict(arguments)}
        child = self._start(request, files or {}, toolkit, memory_limit, session=True)
        opened = RemoteSession(child)
        self._living.add(opened)
        try:
            opened.answer(timeout, cancel, progress)
        except BaseException:
            opened.close()
            raise
        return opened

    def close(self) -> None:
        """End every server with its children. Asking again starts anew."""
        with self._lock:
            servers, self._servers = list(self._servers.values()), {}
        for server in servers:
            server.close()

    # ------------------------------------------------------------------------------------- steps

    def _start(
        self,
        request: Mapping[str, Any],
        files: Mapping[str, bytes | Path],
        toolkit: Toolkit | None,
        memory_limit: int | None,
        *,
        session: bool,
    ) -> Child:
        what = Path(request["name"]).stem
        chosen = toolkit or current()
        for _ in range(_ATTEMPTS):  # a server may have left for want of work just now
            server = self._server(chosen)
            folder = JobFolder(server.session_root if session else server.job_root)
            try:
                folder.request(json.dumps(request).encode())
                for file, content in files.items():
                    folder.put(file, content)
                message = {"folder": str(folder.path), "session": session, "memory_limit": memory_limit or self._share}
                child = Child(what, server.request(message), folder, server)
                self._living.add(child)
                child.wait_until_accepted(_ACCEPT_SECONDS)
                return child
            except ServerLostError:
                folder.remove()
                self._drop(server)
            except BaseException:
                folder.remove()
                raise
        raise outcome.lost(what, "", None)

    def _server(self, toolkit: Toolkit) -> Server:
        with self._lock:
            server = self._servers.get(toolkit.python)
            if server is not None and not server.alive():
                server.close()
                server = None
            if server is None:
                server = self._servers[toolkit.python] = Server(toolkit, self._living.add)
            return server

    def _drop(self, server: Server) -> None:
        with self._lock:
            if self._servers.get(server.toolkit.python) is server:
                del self._servers[server.toolkit.python]
                server.close()

    @contextmanager
    def _place(self, what: str, cancel: threading.Event | None) -> Iterator[None]:
        """One of the places for jobs; waiting for it can be cancelled."""
        slots = self._slots
        while not slots.acquire(timeout=None if cancel is None else _TICK):
            if cancel is not None and cancel.is_set():
                raise outcome.cancelled(what, "")
        try:
            yield
        finally:
            slots.release()

    def _forget_in_child(self) -> None:
        """After a fork the servers and connections are the parent's: closing them here must not end anything there."""
        for living in self._living:
            living.close() if isinstance(living, Child) else living.forget()
        self._fresh()


def _result(
    child: Child, collect: Sequence[str], timeout: float, cancel: threading.Event | None, progress: Progress | None
) -> JobResult:
    """Wait for a job's answer; its process and folder are gone afterwards."""
    started = time.monotonic()
    try:
        values = child.answer(timeout, cancel, progress)
        child.wait_until_ended()
        seconds = time.monotonic() - started
        found = {name: path.read_bytes() for name in collect if (path := child.folder.work / name).is_file()}
        return JobResult(values, found, cleaned(child.log()), seconds, child.peak)
    finally:
        child.kill()
        child.folder.remove()


def jobs_at_once() -> int:
    """How many jobs run side by side: RKNN_EP_TOOLKIT_JOBS, else one a processor.

    Raises:
        OptionError: the variable is no number from 1.
    """
    text = os.environ.get(JOBS_VARIABLE, "")
    if not text:
        return len(os.sched_getaffinity(0))
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(f"{JOBS_VARIABLE} is '{text}', not a number of jobs from 1")
    return int(text)


def memory_of_the_machine() -> int:
    """Bytes: physical memory, or what the control group allows where that is less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        allowed = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return physical
    return min(physical, int(allowed)) if allowed.isdecimal() else physical


@cache
def workers() -> Workers:
    """The workers of this process."""
    return Workers()
