"""What a job says while it works: progress, and that the toolkit refused a step."""

from __future__ import annotations

from typing import Any, Optional, TypeVar

from .channel import Channel

Answer = TypeVar("Answer")


class Refused(Exception):  # noqa: N818  it is an answer of the toolkit, not a fault of ours
    """A step of the toolkit answered with a failure instead of raising one."""

    def __init__(self, kind: str, step: str, value: Any) -> None:
        super().__init__("{} answered {}".format(step, value))
        self.kind = kind
        self.step = step


class _Link:
    channel: Optional[Channel] = None


def connect(channel: Channel) -> None:
    """Where `progress` goes in this process."""
    _Link.channel = channel


def progress(message: str, share: float) -> None:
    """Tell the host how far the job is, 0 to 1. Nothing happens where nobody listens."""
    if _Link.channel is not None:
        _Link.channel.send({"progress": message, "share": share})


def checked(step: str, answer: Optional[Answer]) -> Answer:
    """Pass the answer of a toolkit call on, unless it is None or a number other than 0: `checked("build", rknn.build(...))`."""
    if answer is None:
        raise Refused("none", step, answer)
    if isinstance(answer, int) and answer != 0:
        raise Refused("returned", step, answer)
    return answer
