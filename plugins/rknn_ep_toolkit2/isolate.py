"""Finds the node that the toolkit does not survive, by compiling smaller and smaller pieces of the partition.

    raise locate(model, attempt, error, name="partition_0", keep=Path("failing/"))

`attempt` compiles a piece in the same way as the whole. A node that the toolkit names comes first. Then halves: a piece that
fails in the same manner is cut again.
Where neither half fails, the nodes fail together (a fusion), and the ends are shortened instead.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from rknn_ep_toolkit2.cutting import Pieces
from rknn_ep_toolkit2.errors import ToolkitError

log = logging.getLogger(__name__)

Attempt = Callable[[bytes, float], ToolkitError | None]
"""(model, seconds that it may take) -> how it failed, or None: it compiles."""

LEAST_SECONDS = 30.0
"""Below this limit a piece that does not finish is slow as likely as hanging, and is no proof of anything."""
MOST_BUILDS = 40
MOST_SECONDS = 300.0
_FAMILIES = (("signal", "exit"), ("returned", "none", "exception"), ("timeout",), ("memory",))
"""Kinds of failure that count as the same: a piece may crash where the whole exits."""


@dataclass
class _Search:
    """The pieces tried so far, within the limits."""

    pieces: Pieces
    attempt: Attempt
    family: tuple[str, ...]
    until: float
    left: int
    each: float
    """Seconds that one piece may take."""
    named: int | None = None
    """The node that the toolkit's words name: what fails without it, at a border that the cut made, is something else."""
    builds: int = 0
    error: ToolkitError | None = None
    """How the smallest failing piece failed."""
    tried: dict[tuple[int, int], bool] = field(default_factory=dict)

    def fails(self, first: int, last: int) -> bool:
        """Whether nodes first..last-1 alone fail in the same manner as the whole."""
        if (first, last) not in self.tried:
            self.tried[first, last] = self._try(first, last)
        return self.tried[first, last]

    @property
    def exhausted(self) -> bool:
        """Whether a limit is reached."""
        return self.left <= 0 or time.monotonic() >= self.until

    def _try(self, first: int, last: int) -> bool:
        if self.named is not None and not first <= self.named < last:
            return False
        if self.exhausted or (model := self.pieces.cut(first, last)) is None:
            return False
        self.left -= 1
        self.builds += 1
        error = self.attempt(model, max(1.0, min(self.each, self.until - time.monotonic())))
        if error is not None and error.kind == "cancelled":
            raise error
        if error is None or error.kind not in self.family:
            return False
        self.error = error
        return True

    def smallest(self) -> tuple[int, int]:
        """The smallest run of nodes that was seen to fail."""
        first, last = 0, len(self.pieces)
        if self.named is not None and self.fails(self.named, self.named + 1):
            return self.named, self.named + 1
        while last - first > 1:
            middle = (first + last) // 2
            if self.fails(first, middle):
                last = middle
            elif self.fails(middle, last):
                first = middle
            else:
                return self._shortened(first, middle, last)
        return first, last

    def _shortened(self, first: int, middle: int, last: int) -> tuple[int, int]:
        """Both sides of `middle` are needed: take away what is not, from either end."""
        low, high = middle, last  # ends at `low` work, ends at `high` fail
        while high - low > 1:
            probe = (low + high) // 2
            low, high = (low, probe) if self.fails(first, probe) else (probe, high)
        end, low, high = high, first, middle  # starts at `low` fail, starts at `high` work
        while high - low > 1:
            probe = (low + high) // 2
            low, high = (probe, high) if self.fails(probe, end) else (low, probe)
        return low, end


def locate(
    model: bytes,
    attempt: Attempt,
    error: ToolkitError,
    *,
    name: str,
    keep: Path | None = None,
    known: Collection[str] = (),
    seconds: float = MOST_SECONDS,
    most_builds: int = MOST_BUILDS,
    most_seconds: float = MOST_SECONDS,
) -> ToolkitError:
    """Find out which nodes of `model` are to blame for `error`.

    Args:
        model: what was compiled, serialised ONNX with static shapes.
        attempt: compiles a piece of it; what it raises goes through.
        error: how the whole failed.
        name: of the partition, for messages and files.
        keep: folder in which to save the smallest failing model with the toolkit's log; None: nothing is saved.
        known: names of nodes as the user knows them, where `model` was rewritten for the compiler.
        seconds: how long the whole was allowed to take.
        most_builds: how many pieces may be compiled.
        most_seconds: how long it may take.

    Returns:
        The error to raise: `node` and the message name the nodes. `error` itself where the model is not to blame, or
            cannot be cut.
    """
    if not error.refuses or (error.kind == "timeout" and seconds < LEAST_SECONDS):
        return error
    try:
        pieces = Pieces(model, known)
    except ValueError as reason:
        log.debug("%s cannot be cut: %s", name, reason)
        return error
    if len(pieces) == 0:
        return error
    family = next(kinds for kinds in _FAMILIES if error.kind in kinds)
    # Where the whole hangs, each piece that does so takes all the time it gets.
    each = most_seconds / 4 if error.kind == "timeout" else most_seconds
    search = _Search(
        pieces, attempt, family, time.monotonic() + most_seconds, most_builds, each, named=pieces.named_in(error.said)
    )
    first, last = search.smallest()
    found = pieces.cut(first, last) if search.error is not None else model
    located = _located(error, search, first, last, name)
    if keep is not None:
        _save(keep, name, found or model, located)
    return located


def _located(error: ToolkitError, search: _Search, first: int, last: int, name: str) -> ToolkitError:
    """The whole's failure, with the nodes and the words of the smallest piece that shows it."""
    shown = search.error or error
    names = search.pieces.names(first, last)
    who = search.pieces.describe(first, last)
    head = error.message.partition("\n")[0]
    if last - first == len(search.pieces) and len(search.pieces) > 1:
        cause = "no smaller piece of it fails alone" if not search.exhausted else "the search for the node was given up"
        message = f"{head}\n    in {name}: {cause} ({search.builds} builds)"
    else:
        together = "" if last - first == 1 else " together"
        message = f"{head}\n    because of {who}{together}"
    message += "".join(f"\n    {line}" for line in shown.said.splitlines())
    remedy = _remedy(names) if last - first <= 4 else error.remedy
    if error.kind in ("timeout", "memory") and remedy != error.remedy:
        remedy = f"{remedy}\n{error.remedy}"
    log.info("%s: %s, found with %d builds", name, who, search.builds)
    return ToolkitError(message, kind=error.kind, remedy=remedy, log=shown.log, said=shown.said, node=", ".join(names[:4]))


def _remedy(names: tuple[str, ...]) -> str:
    listed = ",".join(names)
    return f"Leave it to the CPU: exclude_nodes={listed}. Or export the model without it; keep_failing saves it for a report."


def _save(folder: Path, name: str, model: bytes, error: ToolkitError) -> None:
    """Write NAME.onnx, NAME.log and NAME.txt for a report to the vendor."""
    stem = re.sub(r"[^\w.-]+", "_", name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.onnx").write_bytes(model)
        (folder / f"{stem}.log").write_text(error.log + "\n")
        (folder / f"{stem}.txt").write_text(error.message + "\n")
    except OSError as reason:
        log.warning("the failing model cannot be saved in %s: %s", folder, reason.strerror)
    else:
        log.warning("the smallest failing model is in %s", folder / f"{stem}.onnx")
