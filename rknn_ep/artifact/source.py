"""Bytes by position, from a file or from memory, never more than asked for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
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


@dataclass(frozen=True)
class FileSource:
    """A regular file, opened for every read so that nothing has to be closed."""

    path: Path

    @cached_property
    def size(self) -> int:
        """In bytes."""
        return self.path.stat().st_size

    def read(self, offset: int, size: int) -> bytes:
        """Read at a position."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            content = os.pread(descriptor, size, offset)
            while len(content) < size and (more := os.pread(descriptor, size - len(content), offset + len(content))):
                content += more  # Linux reads at most 2 GiB a call
            return content
        finally:
            os.close(descriptor)
