"""The one shape of ZIP that bundles have: stored entries, data aligned to 4096 bytes, nothing variable.

`lay_out` decides where entries lie, `local_header` and `directory` give the bytes around them, `read_members` reads a
file back and accepts it only where these three would give the same bytes again. Source: APPNOTE.TXT 6.3.10, sections 4.3.7
(local header), 4.3.12 (central directory) and 4.3.16 (its end); the padding is an extra field as Android's zipalign writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from rknn_ep.artifact.source import Source
from rknn_ep.errors import ArtifactError

ALIGNMENT = 4096

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_EXTRA = struct.Struct("<3H")
_VERSION, _UTF8, _STORED = 20, 0x0800, 0
_TIME, _DATE = 0, (1 << 5) | 1  # 1980-01-01 00:00, the first that ZIP can say
_PADDING_FIELD = 0xD935
_LARGEST = 0xFFFFFFFF
_MOST_ENTRIES = 1024
_LONGEST_NAME = 255


@dataclass(frozen=True)
class Member:
    """One entry: where its header and data lie, and how it is checked."""

    name: str
    size: int
    crc32: int
    header: int
    """Offset of the local header."""
    offset: int
    """Offset of the data, a multiple of `ALIGNMENT`."""


def lay_out(entries: Sequence[tuple[str, int, int]], origin: str) -> tuple[Member, ...]:
    """Place entries (name, size, CRC-32) one after another.

    Raises:
        ArtifactError: a name twice or unfit, too many entries, or more than 4 GiB.
    """
    members: list[Member] = []
    position = 0
    for name, size, crc32 in entries:
        offset = _align(position + _LOCAL.size + len(_encoded(name, origin)) + _EXTRA.size)
        members.append(Member(name, size, crc32, position, offset))
        position = offset + size
    if len(members) > _MOST_ENTRIES or len({member.name for member in members}) != len(members):
        raise ArtifactError(f"{origin}: a bundle holds up to {_MOST_ENTRIES} entries, each with a name of its own")
    if position + 2 * ALIGNMENT * (1 + len(members)) > _LARGEST:
        raise ArtifactError(f"{origin}: {position / 2**30:.1f} GiB are more than the 4 GiB that a bundle holds")
    return tuple(members)


def local_header(member: Member) -> bytes:
    """The bytes from the end of the entry before to this entry's data."""
    name = member.name.encode()
    extra = member.offset - member.header - _LOCAL.size - len(name)
    fixed = (_VERSION, _UTF8, _STORED, _TIME, _DATE, member.crc32, member.size, member.size, len(name), extra)
    padding = _EXTRA.pack(_PADDING_FIELD, extra - 4, ALIGNMENT).ljust(extra, b"\0")
    return _LOCAL.pack(b"PK\x03\x04", *fixed) + name + padding


def directory(members: Sequence[Member]) -> bytes:
    """The central directory and its end, which close the file."""
    parts = []
    for member in members:
        name = member.name.encode()
        fixed = (_VERSION, _VERSION, _UTF8, _STORED, _TIME, _DATE, member.crc32, member.size, member.size, len(name))
        parts.append(_CENTRAL.pack(b"PK\x01\x02", *fixed, 0, 0, 0, 0, 0, member.header) + name)
    central = b"".join(parts)
    start = members[-1].offset + members[-1].size if members else 0
    return central + _END.pack(b"PK\x05\x06", 0, 0, len(members), len(members), len(central), start, 0)


def read_members(source: Source, origin: str) -> tuple[Member, ...]:
    """The entries of a file that `lay_out`, `local_header` and `directory` could have made.

    Raises:
        ArtifactError: it is anything else; `origin` is named.
    """
    end_offset = source.size - _END.size
    tail = source.read(end_offset, _END.size) if end_offset >= 0 else b""
    if len(tail) != _END.size or tail[:4] != b"PK\x05\x06":
        raise damaged(origin, "it is cut, or not a bundle at all")
    _, _, _, _, count, central_size, start, _ = _END.unpack(tail)
    if count > _MOST_ENTRIES or start + central_size != end_offset:
        raise damaged(origin, "its directory does not fit the file")
    central = source.read(start, central_size)
    entries = _entries(central, count, origin)
    members = lay_out(entries, origin)
    if directory(members) != central + tail or not members:
        raise damaged(origin, "its directory is not as a bundle's")
    for member in members:
        if source.read(member.header, member.offset - member.header) != local_header(member):
            raise damaged(origin, f"the header of '{member.name}' is not as a bundle's")
    return members


def damaged(origin: str, what: str) -> ArtifactError:
    """The error for a file that cannot be used."""
    return ArtifactError(f"{origin} is damaged: {what}", remedy="Compile the model again, or copy the file once more.")


def _entries(central: bytes, count: int, origin: str) -> list[tuple[str, int, int]]:
    entries = []
    position = 0
    for _ in range(count):
        fixed = central[position : position + _CENTRAL.size]
        if len(fixed) != _CENTRAL.size:
            raise damaged(origin, "its directory ends too early")
        fields = _CENTRAL.unpack(fixed)
        crc32, size, name_size = fields[7], fields[8], fields[10]
        position += _CENTRAL.size
        try:
            name = central[position : position + name_size].decode()
        except UnicodeDecodeError:
            raise damaged(origin, "an entry's name is not UTF-8") from None
        entries.append((name, size, crc32))
        position += name_size
    return entries


def _encoded(name: str, origin: str) -> bytes:
    if not 0 < len(name) <= _LONGEST_NAME or not name.isascii() or not name.isprintable() or "/" in name or "\\" in name:
        raise ArtifactError(f"{origin}: {name[:80]!r} cannot be an entry's name: plain ASCII without slashes can")
    return name.encode()


def _align(position: int) -> int:
    return -(-position // ALIGNMENT) * ALIGNMENT
