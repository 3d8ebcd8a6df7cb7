"""The server: imports the toolkit once, forks a child for each job, and takes all of them down with itself.

Run as a script by the host: `python -I -B main.py SETTINGS`, SETTINGS a JSON object:
{"control": descriptor, "roots": [folder, ...], "idle": seconds, "import": module}.

A job's connection is its life: when the host closes its end, or is gone, the child is killed. When the control socket
closes, or nothing was asked for a while, the server kills what is left, removes its folders and goes.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import sys
import time
import traceback
from types import ModuleType
from typing import Any, Dict, List, NoReturn, Optional

_PACKAGE = "rknn_ep_remote"
_NOT_WAITING = socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT
"""A host that does not read must not stop the server."""
_TICK = 0.05
"""Seconds between two looks at the memory of the children."""


def _package() -> None:
    """Make this folder importable as a package without putting its neighbours on the path."""
    here = os.path.dirname(os.path.abspath(__file__))
    spec = importlib.util.spec_from_file_location(_PACKAGE, os.path.join(here, "__init__.py"), submodule_search_locations=[here])
    if spec is None or spec.loader is None:
        raise ImportError(here)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_PACKAGE] = module
    spec.loader.exec_module(module)


class Job:
    """A child that is running."""

    def __init__(self, pid: int, connection: socket.socket, memory_limit: Optional[int]) -> None:
        self.pid = pid
        self.connection = connection
        self.memory_limit = memory_limit
        self.reason = ""
        """Why the server killed it: memory, or hung up."""

    def kill(self, reason: str) -> None:
        """Kill it and all that it started; the first reason stays."""
        self.reason = self.reason or reason
        self.kill_group()
        try:
            os.kill(self.pid, signal.SIGKILL)  # before its setsid it has no group of its own
        except ProcessLookupError:
            pass

    def kill_group(self) -> None:
        """Kill what it started; also after it has ended itself."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def end(self, status: int, peak: int) -> None:
        """Tell the host how it ended: exit code, or minus the signal's number."""
        code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
        try:
            self.connection.send(json.dumps({"ended": code, "reason": self.reason, "peak": peak}).encode(), _NOT_WAITING)
        except OSError:
            pass  # nobody waits for it any more
        self.connection.close()


class Server:
    """The loop of the server process."""

    def __init__(self, control: socket.socket, roots: List[str], idle: float) -> None:
        self._control = control
        self._roots = roots
        self._idle = idle
        self._jobs: Dict[int, Job] = {}
        self._wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._waker = waker
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, lambda number, frame: self.leave(0, "SIGTERM"))

    def run(self) -> NoReturn:
        """Answer until the host is gone or nothing is asked for any more."""
        asked = time.monotonic()
        while True:
            self._poll()
            self._reap()
            if self._jobs:
                asked = time.monotonic()
            elif time.monotonic() - asked > self._idle:
                self.leave(0, "nothing was asked for")

    def _poll(self) -> None:
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        by_descriptor = {}
        for job in self._jobs.values():
            if not job.reason:
                by_descriptor[job.connection.fileno()] = job
                poll.register(job.connection, select.POLLRDHUP)
        limited = [job for job in self._jobs.values() if job.memory_limit]
        seconds = _TICK if limited else (None if self._jobs else self._idle)
        for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000 + 1):
            if descriptor == self._wake:
                os.read(self._wake, 4096)
            elif descriptor == self._control.fileno():
                self._accept()
            else:
                by_descriptor[descriptor].kill("hung up")
        for job in limited:
            if job.memory_limit and _resident(job.pid) > job.memory_limit:
                job.kill("memory")

    def _accept(self) -> None:
        received = _channel().receive_connection(self._control)
        if received is None:
            self.leave(0, "the host is gone")
        request, connection = received
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            self._control.close()
            for job in self._jobs.values():
                job.connection.close()
            importlib.import_module(_PACKAGE + ".child").main(request, connection, server)
        self._jobs[pid] = Job(pid, connection, request["memory_limit"])

    def _reap(self) -> None:
        while self._jobs:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            job = self._jobs.pop(pid, None)
            if job is not None:
                job.kill_group()
                job.end(status, usage.ru_maxrss * 1024)

    def leave(self, status: int, why: str) -> NoReturn:
        """Take everything down and go."""
        sys.stderr.write("the server leaves: {}\n".format(why))
        sys.stderr.flush()
        for job in self._jobs.values():
            job.kill("hung up")
        for job in self._jobs.values():
            try:
                os.waitpid(job.pid, 0)
            except ChildProcessError:
                continue
        for root in self._roots:
            shutil.rmtree(root, ignore_errors=True)
        os._exit(status)


def _resident(pid: int) -> int:
    """Bytes of memory that a process and its descendants hold, 0 when it is gone."""
    total = 0
    try:
        with open("/proc/{}/statm".format(pid)) as file:
            total = int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        for task in os.listdir("/proc/{}/task".format(pid)):
            with open("/proc/{}/task/{}/children".format(pid, task)) as file:
                total += sum(_resident(int(child)) for child in file.read().split())
    except (OSError, ValueError, IndexError):
        return total
    return total


def _channel() -> ModuleType:
    return importlib.import_module(_PACKAGE + ".channel")


def main() -> None:
    """Import the toolkit, say so, serve."""
    settings: Dict[str, Any] = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["control"])
    os.set_inheritable(control.fileno(), False)
    _package()
    importlib.import_module(_PACKAGE + ".child")
    server = Server(control, settings["roots"], settings["idle"])
    try:
        module = importlib.import_module(settings["import"])
    except BaseException as error:
        traceback.print_exc()
        control.send(json.dumps({"failed": "{}: {}".format(type(error).__name__, error)}).encode(), socket.MSG_NOSIGNAL)
        server.leave(1, "no toolkit")
    control.send(json.dumps({"ready": getattr(module, "__file__", "")}).encode(), socket.MSG_NOSIGNAL)
    server.run()


if __name__ == "__main__":
    main()
