"""Samples that run at the same time, counted in their order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class AbandonedError(Exception):
    """An earlier sample failed: nobody will ask for this one's result."""


class Turns:
    """Lets each tensor's samples be counted one after another, whichever threads they come from.

    Sums of floats and growing histograms depend on the order in which they are fed; results must not.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._next: dict[str, int] = {}
        self._failed: int | None = None

    @contextmanager
    def turn(self, name: str, sample: int) -> Iterator[None]:
        """Wait until every earlier sample of the tensor `name` was counted.

        Raises:
            AbandonedError: an earlier sample failed.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._next.get(name, 0) == sample or self._abandoned(sample))
            if self._abandoned(sample):
                raise AbandonedError
        yield
        with self._changed:
            self._next[name] = sample + 1
            self._changed.notify_all()

    def fail(self, sample: int) -> None:
        """Tell the samples after this one not to wait for it."""
        with self._changed:
            self._failed = sample if self._failed is None else min(self._failed, sample)
            self._changed.notify_all()

    def _abandoned(self, sample: int) -> bool:
        return self._failed is not None and self._failed < sample
