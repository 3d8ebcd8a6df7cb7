"""The host's hold on one server process: started when it is needed, asked through its control socket, taken down at exit."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.remote import channel
from rknn_ep_toolkit2.worker.folders import Root, memory_parent, temporary_parent
from rknn_ep_toolkit2.worker.words import cleaned, last_words

log = logging.getLogger(__name__)

MODULE = "rknn.api"
IDLE_SECONDS = 300.0
"""A server that is asked nothing for so long goes, and its 260 MB with it; the next request starts another."""
START_SECONDS = 180.0
"""The import takes 3 s, and more than a minute from a cold disk beside other work."""
_LEAVE_SECONDS = 5.0
_MAIN = Path(channel.__file__).with_name("main.py")
_LONGEST_LOG = 1 << 20
_DROPPED = ("PYTHON", "LD_PRELOAD", "VIRTUAL_ENV", "CONDA_")
"""Beginnings of variables that belong to the host's Python and would lead the toolkit's astray."""


class ServerLostError(Exception):
    """The server went before it took the request; another one may take it."""


class Server:
    """One server process."""

    def __init__(self, toolkit: Toolkit, born: Callable[[Server], None] = lambda server: None) -> None:
        """`born` is told of it before its process exists: a fork of the host must know what to let go of."""
        self.toolkit = toolkit
        self._sending = threading.Lock()
        self._roots = [Root.make(temporary_parent()), Root.make(memory_parent())]
        self._log = os.memfd_create("rknn-ep-toolkit-log", os.MFD_CLOEXEC)
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        born(self)
        settings = {
            "control": theirs.fileno(),
            "roots": [str(root.path) for root in self._roots],
            "idle": IDLE_SECONDS,
            "import": MODULE,
        }
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [str(toolkit.python), "-I", "-B", str(_MAIN), json.dumps(settings)],
                    stdin=subprocess.DEVNULL,
                    stdout=self._log,
                    stderr=self._log,
                    cwd=self._roots[0].path,
                    env=environment(self._roots[0].path),
                    pass_fds=(theirs.fileno(), *(root.lock for root in self._roots)),
                    start_new_session=True,  # Ctrl-C in the terminal is for the host
                )
        except OSError as error:
            self._let_go(remove=True)
            raise ToolkitError(
                f"{toolkit.python} cannot be started: {error.strerror}", kind="start", remedy=_reinstall(toolkit)
            ) from error
        try:
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    @property
    def job_root(self) -> Path:
        """Where jobs have their folders."""
        return self._roots[0].path

    @property
    def session_root(self) -> Path:
        """Where sessions have theirs, in memory if possible."""
        return self._roots[1].path

    @property
    def pid(self) -> int:
        """The process."""
        return self._process.pid

    def request(self, message: dict[str, Any]) -> socket.socket:
        """Ask for a child.

        Returns:
            The connection to it; closing it kills the child.

        Raises:
            ServerLostError: the server is not there any more.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            with theirs, self._sending:
                channel.send_connection(self._control, message, theirs)
        except OSError as error:
            ours.close()
            raise ServerLostError from error
        return ours

    def alive(self) -> bool:
        """Whether it still runs."""
        return self._process.poll() is None

    def exit_code(self) -> int | None:
        """How it ended: exit code or minus a signal's number, waiting a moment for it; None: it runs."""
        try:
            return self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        """Take it down with all its children and folders."""
        self._control.close()  # the server leaves by itself
        try:
            self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:  # stuck in the import
            self._process.kill()
            self._process.wait()
        self._let_go(remove=True)

    def forget(self) -> None:
        """In a forked child of the host: let go of what belongs to the parent without touching it."""
        self._control.close()
        self._let_go(remove=False)

    def words(self) -> str:
        """What the server itself wrote, its children's logs are elsewhere."""
        try:
            size = os.fstat(self._log).st_size
            return cleaned(os.pread(self._log, _LONGEST_LOG, max(0, size - _LONGEST_LOG)).decode(errors="replace"))
        except OSError:  # it was closed in the meantime
            return ""

    def _let_go(self, *, remove: bool) -> None:
        for root in self._roots:
            root.remove() if remove else root.release()
        if self._log >= 0:
            os.close(self._log)
            self._log = -1

    def _wait_until_ready(self) -> None:
        until = time.monotonic() + START_SECONDS
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        if not poll.poll(1000 * max(0.0, until - time.monotonic())):
            self._process.kill()
            raise ToolkitError(
                f"rknn-toolkit2 {self.toolkit.version} is not ready after {START_SECONDS:.0f} s",
                kind="start",
                remedy=_reinstall(self.toolkit),
                log=self.words(),
            )
        with contextlib.suppress(ConnectionError):
            answer = json.loads(self._control.recv(4096) or b"{}")
            if "ready" in answer:
                log.debug("rknn-toolkit2 %s serves as process %d", self.toolkit.version, self.pid)
                return
        words = self.words()
        raise ToolkitError(
            f"rknn-toolkit2 cannot be imported by {self.toolkit.python}: {last_words(words) or 'the process ended'}",
            kind="start",
            remedy=_reinstall(self.toolkit),
            log=words,
        )


def environment(folder: Path) -> dict[str, str]:
    """The host's variables without those of its Python, and a temporary folder that is private."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_DROPPED)}
    return {**kept, "TMPDIR": str(folder), "PYTHONNOUSERSITE": "1"}


def _reinstall(toolkit: Toolkit) -> str:
    return (
        f"Install it anew: rknn-ep toolkit install --version {toolkit.version} --force. "
        "Or adopt another: rknn-ep toolkit use PYTHON."
    )
