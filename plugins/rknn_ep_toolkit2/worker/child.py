"""The host's end of one child process: wait for its messages, for the end of time, for the caller's change of mind."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

from rknn_ep_toolkit2.remote.channel import Channel
from rknn_ep_toolkit2.worker import outcome
from rknn_ep_toolkit2.worker.folders import JobFolder
from rknn_ep_toolkit2.worker.server import Server, ServerLostError

Progress = Callable[[str, float], None]
"""(what is going on, share done 0..1)."""

_TICK = 0.05
"""Seconds between two looks at the caller's cancel event: it has no descriptor to wait on."""
_END_SECONDS = 10.0
_LONGEST_LOG = 4 << 20
"""Bytes of log that are kept, from the end."""


class Child:
    """One child process of a server, as long as its connection is open."""

    def __init__(self, what: str, connection: socket.socket, folder: JobFolder, server: Server) -> None:
        self.what = what
        self._server = server
        self.folder = folder
        self.pid = 0
        self.peak = 0
        """Bytes that it held at most, known when it has ended."""
        self._channel = Channel(connection, str(folder.path))

    def wait_until_accepted(self, seconds: float) -> None:
        """Wait for the process to exist.

        Raises:
            ServerLostError: the server went first.
            ToolkitError: the machine is so busy that it did not come to be.
        """
        until = time.monotonic() + seconds
        message = self._next(until, None)
        if message is None and time.monotonic() >= until:
            self.kill()
            raise outcome.timed_out(f"{self.what}: starting it", seconds, self.log())
        if message is None:
            raise ServerLostError
        if "ended" in message:
            raise outcome.ended(message["ended"], message["reason"], self.what, self.log())
        self.pid = message["accepted"]

    def send(self, message: dict[str, Any]) -> None:
        """Ask it for something; if it is gone, the answer says so."""
        with contextlib.suppress(ConnectionError):
            self._channel.send(message)

    def answer(self, seconds: float, cancel: threading.Event | None, progress: Progress | None) -> dict[str, Any]:
        """The values of its next answer.

        Raises:
            ToolkitError: any of the ways to fail.
        """
        until = time.monotonic() + seconds
        while True:
            message = self._next(until, cancel)
            if message is None and cancel is not None and cancel.is_set():
                self.kill()
                raise outcome.cancelled(self.what, self.log())
            if message is None and time.monotonic() >= until:
                self.kill()
                raise outcome.timed_out(self.what, seconds, self.log())
            if message is None:
                raise outcome.lost(self.what, f"{self.log()}\n{self._server.words()}".strip(), self._server.exit_code())
            if "progress" in message:
                if progress is not None:
                    progress(message["progress"], message["share"])
            elif "values" in message:
                return dict(message["values"])
            elif "failed" in message:
                raise outcome.answered(message, self.what, self.log())
            elif "ended" in message:
                self.peak = message["peak"]
                raise outcome.ended(message["ended"], message["reason"], self.what, self.log())

    def kill(self) -> None:
        """End it and wait until it is gone; nothing happens if it is."""
        connection = self._channel.connection
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
            self.wait_until_ended()
        connection.close()

    def wait_until_ended(self) -> None:
        """Wait for the server to say that the process is reaped."""
        until = time.monotonic() + _END_SECONDS
        while (message := self._next(until, None)) is not None:
            if "ended" in message:
                self.peak = message["peak"]
                return

    def close(self) -> None:
        """In a forked child of the host: let go of the connection without touching the process."""
        self._channel.connection.close()

    def log(self) -> str:
        """All that it wrote so far."""
        try:
            with self.folder.log_file.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _LONGEST_LOG))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def _next(self, until: float, cancel: threading.Event | None) -> dict[str, Any] | None:
        """The next message; None when time is up, the caller cancelled or the server is gone."""
        poll = select.poll()
        poll.register(self._channel.connection, select.POLLIN)
        while cancel is None or not cancel.is_set():
            left = until - time.monotonic()
            if left <= 0:
                return None
            if poll.poll(1000 * (left if cancel is None else min(left, _TICK))):
                return self._channel.receive()
        return None
