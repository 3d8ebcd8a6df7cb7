"""A process of the toolkit that answers call after call, as the host sees it."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.worker.child import Child, Progress
from rknn_ep_toolkit2.worker.words import cleaned

DEFAULT_SECONDS = 600.0
"""What a job or a call may take, unless it is said."""


class RemoteSession:
    """A process of the toolkit that keeps its state between calls. Calls from several threads wait for each other."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._lock = threading.Lock()
        self._closed = False

    @property
    def folder(self) -> Path:
        """Its working folder, in memory where the machine allows it: for tensors in both directions."""
        return self._child.folder.work

    @property
    def pid(self) -> int:
        """The process."""
        return self._child.pid

    def call(
        self, method: str, *, timeout: float = DEFAULT_SECONDS, cancel: threading.Event | None = None, **arguments: Any
    ) -> dict[str, Any]:
        """Call a method by name; arguments and result are what JSON can carry.

        Raises:
            ToolkitError: the method failed, or the process is gone. After anything but an answer of the toolkit
                (exception, -1, None) the session is closed.
        """
        with self._lock:
            if self._closed:
                raise ToolkitError(f"{self._child.what}: the session is closed", kind="killed", remedy="Open a new one.")
            self._child.send({"call": method, "arguments": arguments})
            return self.answer(timeout, cancel)

    def answer(self, timeout: float, cancel: threading.Event | None = None, progress: Progress | None = None) -> dict[str, Any]:
        """Wait for what was asked; close the session when there is nobody any more to ask."""
        try:
            return self._child.answer(timeout, cancel, progress)
        except ToolkitError as error:
            if error.kind not in ("exception", "returned", "none", "disk"):
                self.close()
            raise
        except BaseException:  # interrupted half way: the answer would be taken for the next call's
            self.close()
            raise

    def log(self) -> str:
        """All that it wrote so far, without colours."""
        return cleaned(self._child.log())

    def close(self) -> None:
        """End its process and remove its folder; more than once is fine."""
        if not self._closed:
            self._closed = True
            self._child.kill()
            self._child.folder.remove()

    def forget(self) -> None:
        """In a forked child of the host: it belongs to the parent."""
        self._closed = True
        self._child.close()

    def __enter__(self) -> RemoteSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
