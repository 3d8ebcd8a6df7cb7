"""Where a board says what it is: every path lies under one root folder, so that a recorded tree answers as the board did.

Environment: RKNN_EP_BOARD_ROOT names a root other than `/`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT_VARIABLE = "RKNN_EP_BOARD_ROOT"


def _may_use(path: Path) -> bool:
    return os.access(path, os.R_OK | os.W_OK)


@dataclass(frozen=True)
class Machine:
    """A file system to look at, and what this process may do with its device nodes."""

    root: Path = Path("/")
    may_use: Callable[[Path], bool] = _may_use
    """Whether a device node can be opened for reading and writing."""

    @classmethod
    def here(cls) -> Machine:
        """The running machine, or the recorded one that RKNN_EP_BOARD_ROOT names."""
        return cls(Path(os.environ.get(ROOT_VARIABLE) or "/"))

    def path(self, absolute: str) -> Path:
        """Where the file called `absolute` on the board lies."""
        return self.root / absolute.lstrip("/")

    def text(self, absolute: str) -> str:
        """A small text file without the white space around it; empty where it is missing or may not be read."""
        try:
            return self.path(absolute).read_text("utf-8", "replace").strip()
        except OSError:
            return ""

    def strings(self, absolute: str) -> tuple[str, ...]:
        """A device tree property: strings that end with NUL."""
        return tuple(filter(None, self.text(absolute).split("\0")))

    def number(self, absolute: str) -> int | None:
        """A file that holds one whole number."""
        text = self.text(absolute)
        return int(text) if text.lstrip("-").isdecimal() else None

    def find(self, folder: str, pattern: str) -> list[str]:
        """Paths on the board of what matches `pattern` in `folder`, sorted."""
        try:
            return sorted(f"{folder}/{found.relative_to(self.path(folder))}" for found in self.path(folder).glob(pattern))
        except OSError:
            return []
