"""Bytes by position, from a file or from memory, never more than asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class Source(Protocol):
    """Something that has a size and bytes at positions."""

    @property
    def size(self) -> int:
        """In bytes."""

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset`; fewer where the source ends; OSError where a file cannot be read."""


@dataclass(frozen=True)
class ByteSource:
    """Bytes in memory."""

    content: bytes

    @property
    def size(self) -> int:
        """In bytes."""
        return len(self.content)

    def read(self, offset: int, size: int) -> bytes:
        """A slice."""
        return self.content[offset : offset + size]


class FileSource:
    """A file, open as long as this object lives: a file of the same name that replaces it meanwhile is not mixed in."""

    def __init__(self, path: Path) -> None:
        self._descriptor = -1
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    @property
    def size(self) -> int:
        """In bytes, now."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Read at a position."""
        content = os.pread(self._descriptor, size, offset)
        while len(content) < size and (more := os.pread(self._descriptor, size - len(content), offset + len(content))):
            content += more  # Linux reads at most 2 GiB a call
        return content
