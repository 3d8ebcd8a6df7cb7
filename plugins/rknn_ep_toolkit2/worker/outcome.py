"""How a job ended badly, as one typed error with the toolkit's own words."""

from __future__ import annotations

import signal
from typing import Any, cast

from rknn_ep_toolkit2.errors import Kind, ToolkitError
from rknn_ep_toolkit2.worker.words import cleaned, complaints

_NO_SPACE = "No space left on device"
_AGAIN = "The host process is unharmed; try again."
_MODEL = (
    "It does not get along with this model: rknn-ep compile --keep-failing FOLDER finds the node, and saves all that it wrote."
)


def answered(message: dict[str, Any], what: str, log: str) -> ToolkitError:
    """The job itself said that it failed."""
    log = cleaned(log)
    said = complaints(log)
    kind, words = cast(Kind, message["failed"]), str(message["words"])
    if kind == "disk" or _NO_SPACE in words or _NO_SPACE in said:
        return disk(what, log)
    if kind == "memory":
        return ToolkitError(
            f"{what}: the toolkit ran out of memory: {words or 'MemoryError'}", kind=kind, log=log, said=said, remedy=_LESS
        )
    if kind == "exit":
        head = f"{what}: the toolkit left with exit({words})"
    elif kind == "exception":
        head = f"{what}: the toolkit raised {message['type']}"
        said = said or first_lines(words)
    else:
        head = f"{what}: the toolkit's {words}"
    return ToolkitError(with_words(head, said), kind=kind, log=log, said=said, remedy=_MODEL)


def ended(code: int, reason: str, what: str, log: str) -> ToolkitError:
    """The job's process ended without an answer: `code` is its exit code or minus a signal's number."""
    log = cleaned(log)
    said = complaints(log)
    if _NO_SPACE in said:
        return disk(what, log)
    if reason == "memory":
        return ToolkitError(f"{what}: the toolkit took more memory than it may", kind="memory", log=log, said=said, remedy=_LESS)
    if code == -signal.SIGKILL:
        return ToolkitError(
            f"{what}: the toolkit's process was killed from outside, by somebody or for want of memory",
            kind="killed",
            log=log,
            said=said,
            remedy=f"{_AGAIN} If it happens again, look for 'Out of memory' in the system's log.",
        )
    if code < 0:
        name = signal.Signals(-code).name if -code in {one.value for one in signal.Signals} else f"signal {-code}"
        return ToolkitError(
            with_words(f"{what}: the toolkit crashed ({name})", said), kind="signal", log=log, said=said, remedy=_MODEL
        )
    return ToolkitError(
        with_words(f"{what}: the toolkit left with exit({code})", said), kind="exit", log=log, said=said, remedy=_MODEL
    )


def timed_out(what: str, seconds: float, log: str) -> ToolkitError:
    """Our time limit was reached."""
    return ToolkitError(
        f"{what}: the toolkit did not finish in {seconds:g} s and was stopped",
        kind="timeout",
        log=(log := cleaned(log)),
        said=complaints(log),
        remedy="Allow more time with the option toolkit2.timeout (seconds), or exclude what hangs.",
    )


def cancelled(what: str, log: str) -> ToolkitError:
    """The caller gave up."""
    return ToolkitError(f"{what}: cancelled", kind="cancelled", log=cleaned(log))


def lost(what: str, log: str, code: int | None) -> ToolkitError:
    """The server went, and the job with it; `code` is its exit code or minus a signal's number."""
    how = {None: "does not answer any more", -signal.SIGKILL: "was killed from outside"}.get(code, f"ended ({code})")
    return ToolkitError(f"{what}: the toolkit's server process {how}", kind="killed", log=cleaned(log), remedy=_AGAIN)


def disk(what: str, log: str) -> ToolkitError:
    """The disk filled up under the toolkit."""
    return ToolkitError(
        f"{what}: no space left for the toolkit's files",
        kind="disk",
        log=log,
        said=complaints(log),
        remedy="Make room in the temporary folder, or set TMPDIR to a folder with room.",
    )


def with_words(head: str, said: str) -> str:
    """The message and, indented below it, what the toolkit itself said."""
    return head + "".join(f"\n    {line}" for line in said.splitlines())


def first_lines(words: str) -> str:
    """The end of an exception's text, which may hold a whole traceback."""
    lines = [line.strip() for line in cleaned(words).splitlines() if line.strip()]
    return "\n".join(lines[-2:])


_LESS = "Allow more with the option toolkit2.memory_limit (MB), or let fewer builds run at once (RKNN_EP_TOOLKIT_JOBS=1)."
