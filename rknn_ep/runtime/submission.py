"""Asynchronous runs: a bounded queue, first come first served, and one thread a context."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from rknn_ep.errors import ExecutionError

_Work = tuple["Future[Any]", Callable[[], Any]]


class Submissions:
    """Runs functions on threads of its own, in the order in which they came."""

    def __init__(self, workers: int, size: int, name: str) -> None:
        """Nothing is started before the first submission.

        Args:
            workers: how many run at once.
            size: how many may wait; whoever submits more waits too, which keeps a fast producer from filling the memory.
            name: of the threads.
        """
        self._workers = workers
        self._queue: queue.Queue[_Work | None] = queue.Queue(size)
        self._name = name
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(self, function: Callable[[], Any], timeout: float | None = None) -> Future[Any]:
        """Queue `function`.

        Args:
            function: what to run.
            timeout: seconds to wait for room in the queue; None: as long as it takes.

        Raises:
            ExecutionError: closed, or no room in time.
        """
        future: Future[Any] = Future()
        self._start()
        try:
            self._queue.put((future, function), timeout=timeout)
        except queue.Full:
            raise ExecutionError(
                f"no room in the queue of {self._queue.maxsize} within {timeout} s",
                remedy="Wait for results before submitting more, or open the session with a longer queue or more contexts.",
            ) from None
        if self._closed:  # while this caller waited for room
            self._cancel_waiting()
        return future

    def _start(self) -> None:
        with self._lock:
            if self._closed:
                raise ExecutionError("the session is closed", remedy="Open a new one.")
            if self._threads:
                return
            for index in range(self._workers):
                thread = threading.Thread(target=self._work, name=f"{self._name}-{index}", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            future, function = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  it belongs to whoever asks the future
                future.set_exception(error)
            del item, future, function  # results must not stay alive while this thread waits

    def _cancel_waiting(self) -> None:
        ends = 0
        while True:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if item is None:
                ends += 1  # a worker's
            else:
                item[0].cancel()
        for _ in range(ends):
            self._queue.put(None)

    def close(self) -> None:
        """Cancel what waits, let what runs end, and stop the threads. May be called from several threads, and again."""
        with self._lock:
            first = not self._closed
            self._closed = True
        if first:
            self._cancel_waiting()
            for _ in self._threads:
                self._queue.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
