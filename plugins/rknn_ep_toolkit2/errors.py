"""What can go wrong with the vendor toolkit, as one error of rknn_ep's family."""

from __future__ import annotations

from typing import Literal

from rknn_ep.errors import CompileError

Kind = Literal[
    "environment", "disk", "start", "signal", "exit", "killed", "timeout", "memory", "cancelled", "returned", "none", "exception"
]
"""environment: no usable toolkit. disk: no room for the private folder. start: it is installed and does not come up.
signal, exit: the compiler took its process down. killed: somebody else killed it. timeout, memory: a limit of ours.
cancelled: the caller gave up. returned, none: it answered -1 or nothing. exception: it raised."""


_CRASHES = ("signal", "exit")
_LASTING = (*_CRASHES, "returned", "none", "exception")
"""What the model is to blame for, whatever else the machine does: time and memory depend on that."""


class ToolkitError(CompileError):
    """The vendor toolkit is missing, refused, or died.

    Attributes:
        kind: what happened, one word to branch on.
        log: everything that the toolkit wrote, without colours.
        said: the lines of the log in which the toolkit says what it did not like.
        node: name of the node that causes it, where it was found.
    """

    def __init__(self, message: str, *, kind: Kind, remedy: str = "", log: str = "", said: str = "", node: str = "") -> None:
        super().__init__(message, remedy=remedy)
        self.kind: Kind = kind
        self.log = log
        self.said = said
        self.node = node
        self.lasting = kind in _LASTING

    def reworded(self, *, message: str = "", remedy: str = "") -> ToolkitError:
        """The same error in the words of somebody who knows more of it."""
        return ToolkitError(
            message or self.message,
            kind=self.kind,
            remedy=remedy or self.remedy,
            log=self.log,
            said=self.said,
            node=self.node,
        )

    @property
    def crashed(self) -> bool:
        """Whether the toolkit took its process down."""
        return self.kind in _CRASHES

    @property
    def refuses(self) -> bool:
        """Whether the model is to blame: the same model would fail again, and a part of it may not."""
        return self.lasting or self.kind in ("timeout", "memory")
