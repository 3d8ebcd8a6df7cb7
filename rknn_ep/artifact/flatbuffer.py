"""A bounds-checked walk over a flatbuffer: every read is checked, so that a mutated file gives ArtifactError and nothing else.

Source: the FlatBuffers internals document (tables, vtables, vectors, strings). The
caller names slots by number; no schema is needed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from rknn_ep.errors import ArtifactError

_UINT32 = struct.Struct("<I")
_INT32 = struct.Struct("<i")
_UINT16 = struct.Struct("<H")
_SPARE_BYTES = 1 << 20
_TIMES_THE_SIZE = 8


class Buffer:
    """The bytes of one flatbuffer.

    Offsets may overlap, so that a small hostile file could describe endless work: what is read in all is limited to a
    few times the file's size.
    """

    def __init__(self, content: bytes, origin: str) -> None:
        self.content = content
        self.origin = origin
        """How errors name it."""
        self._budget = _SPARE_BYTES + _TIMES_THE_SIZE * len(content)

    def root(self) -> Table:
        """The root table."""
        return self.table(self.uint32(0))

    def table(self, position: int) -> Table:
        """The table at an absolute position."""
        vtable = position - self._unpack(_INT32, position)
        size = self._unpack(_UINT16, vtable)
        if size < 4 or size % 2:
            raise self.broken(f"a table of {size} bytes at {vtable}")
        self.slice(vtable, size)
        return Table(self, position, vtable, (size - 4) // 2)

    def uint32(self, position: int) -> int:
        """An unsigned 32-bit number, such as an offset or a length."""
        return self._unpack(_UINT32, position)

    def follow(self, position: int) -> int:
        """Where the offset that stands at `position` leads to."""
        return position + self.uint32(position)

    def slice(self, position: int, size: int) -> bytes:
        """Exactly `size` bytes from `position`."""
        if position < 0 or size < 0 or position + size > len(self.content):
            raise self.broken(f"{size} bytes at {position} of {len(self.content)}")
        self._budget -= size
        if self._budget < 0:
            raise self.broken("the same bytes over and over")
        return self.content[position : position + size]

    def broken(self, what: str) -> ArtifactError:
        """The error for a read that leaves the buffer."""
        return ArtifactError(f"{self.origin} is damaged: its description points to {what}")

    def _unpack(self, form: struct.Struct, position: int) -> int:
        value: int = form.unpack(self.slice(position, form.size))[0]
        return value


@dataclass(frozen=True)
class Table:
    """A table; fields are asked for by slot, and a field that is not there gives the default."""

    buffer: Buffer
    position: int
    vtable: int
    slots: int

    def has(self, slot: int) -> bool:
        """Whether the field is there."""
        return self._field(slot) is not None

    def integer(self, slot: int, form: str = "<I", default: int = 0) -> int:
        """A whole number, `form` as in `struct` ("<b", "<I")."""
        field = self._field(slot)
        if field is None:
            return default
        return int(struct.unpack(form, self.buffer.slice(field, struct.calcsize(form)))[0])

    def text(self, slot: int) -> str:
        """A string; empty where it is not there; bytes that are not UTF-8 are replaced."""
        field = self._field(slot)
        if field is None:
            return ""
        start = self.buffer.follow(field)
        return self.buffer.slice(start + 4, self.buffer.uint32(start)).decode("utf-8", "replace")

    def table(self, slot: int) -> Table | None:
        """A table within."""
        field = self._field(slot)
        return None if field is None else self.buffer.table(self.buffer.follow(field))

    def tables(self, slot: int) -> list[Table]:
        """A vector of tables."""
        start, count = self._vector(slot, 4)
        return [self.buffer.table(self.buffer.follow(start + 4 * index)) for index in range(count)]

    def numbers(self, slot: int, form: str) -> tuple[float, ...]:
        """A vector of 32-bit numbers: "I" unsigned, "i" signed, "f" float."""
        start, count = self._vector(slot, 4)
        return struct.unpack(f"<{count}{form}", self.buffer.slice(start, 4 * count))

    def integers(self, slot: int) -> tuple[int, ...]:
        """A vector of unsigned 32-bit numbers."""
        return tuple(int(value) for value in self.numbers(slot, "I"))

    def _vector(self, slot: int, element: int) -> tuple[int, int]:
        """(where the first element stands, how many there are)."""
        field = self._field(slot)
        if field is None:
            return 0, 0
        start = self.buffer.follow(field)
        count = self.buffer.uint32(start)
        if start + 4 + count * element > len(self.buffer.content):
            raise self.buffer.broken(f"a vector of {count} elements at {start}")
        return start + 4, count

    def _field(self, slot: int) -> int | None:
        if slot >= self.slots:
            return None
        offset = struct.unpack("<H", self.buffer.slice(self.vtable + 4 + 2 * slot, 2))[0]
        return self.position + offset if offset else None
