"""Bundles: one compiled partition as a stored ZIP that devices map into memory as it is. Format: docs/bundle.md.

    write_bundle(path, {"simulation.onnx": onnx, "simulation.data": weights_path}, {"partition": "rknn_0"})
    bundle = Bundle.open(path)
    bundle.manifest["partition"], bundle.read("simulation.onnx"), bundle.entry("simulation.data")

Equal content gives equal bytes. A bundle is read back strictly: its structure must be, to the byte, what the writer
makes of its entries, so that damage anywhere is seen.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from rknn_ep.artifact import stored_zip
from rknn_ep.artifact.atomic import replacing
from rknn_ep.artifact.native_text import FORMAT
from rknn_ep.artifact.source import ByteSource, FileSource, Source
from rknn_ep.artifact.stored_zip import Member
from rknn_ep.errors import ArtifactError

MANIFEST = "manifest.json"
NATIVE_TEXT = "native.txt"
RKNN_SUFFIX = ".rknn"
SIMULATION_PREFIX = "simulation"
"""Entries that only the simulator needs begin so."""

_LARGEST_MANIFEST = 16 << 20
_CHUNK = 4 << 20


@dataclass(frozen=True)
class Bundle:
    """A bundle that has been read and checked; its file stays open until the object is gone."""

    path: Path | None
    """None for a bundle that came as bytes."""
    manifest: dict[str, Any]
    members: Mapping[str, Member]
    source: Source
    origin: str
    """How errors name it."""

    @classmethod
    def open(cls, path: Path | str, verify: bool = True) -> Bundle:
        """Read a bundle file.

        Args:
            path: the file.
            verify: check every entry's SHA-256 as well (about 1 ms for 2 MB); the structure is always checked.

        Raises:
            ArtifactError: it is missing, cut, damaged, not a bundle, or of another format.
        """
        path = Path(path)
        with _reading(str(path)):
            return cls._from_source(FileSource(path), path, str(path), verify)

    @classmethod
    def from_bytes(cls, content: bytes, origin: str = "bundle", verify: bool = True) -> Bundle:
        """Read a bundle held in memory, such as the payload of an EPContext node; errors name `origin`."""
        return cls._from_source(ByteSource(content), None, origin, verify)

    @classmethod
    def _from_source(cls, source: Source, path: Path | None, origin: str, verify: bool) -> Bundle:
        members = {member.name: member for member in stored_zip.read_members(source, origin)}
        bundle = cls(path, _manifest(source, members, origin), members, source, origin)
        bundle._check_list()
        if verify:
            for name in bundle.names:
                bundle._check_content(name)
        return bundle

    @property
    def names(self) -> tuple[str, ...]:
        """The entries without the manifest, in the order of the file."""
        return tuple(name for name in self.members if name != MANIFEST)

    def entry(self, name: str) -> tuple[int, int]:
        """Where an entry's bytes lie in the file: (offset, size). The offset is a multiple of 4096."""
        member = self._member(name)
        return member.offset, member.size

    def read(self, name: str) -> bytes:
        """An entry's bytes, checked against the manifest's SHA-256.

        Raises:
            ArtifactError: there is no such entry, or the file has changed or cannot be read.
        """
        member = self._member(name)
        with _reading(self.origin):
            content = self.source.read(member.offset, member.size)
        if name != MANIFEST and hashlib.sha256(content).hexdigest() != self._listed(name)["sha256"]:
            raise _damaged(self.origin, f"the content of '{name}' is not what the manifest says")
        return content

    def _member(self, name: str) -> Member:
        if name not in self.members:
            raise ArtifactError(f"{self.origin} has no entry '{name}': it has {', '.join(self.members)}")
        return self.members[name]

    def _listed(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.manifest["entries"][name]
        return entry

    def _check_list(self) -> None:
        listed = self.manifest.get("entries")
        if not isinstance(listed, dict) or set(listed) != set(self.names):
            raise _damaged(self.origin, "the manifest lists other entries than the file has")
        for name, entry in listed.items():
            if (
                not isinstance(entry, dict)
                or entry.get("size") != self.members[name].size
                or not isinstance(entry.get("sha256"), str)
            ):
                raise _damaged(self.origin, f"the manifest does not describe '{name}' as it is")

    def _check_content(self, name: str) -> None:
        member = self.members[name]
        digest = hashlib.sha256()
        with _reading(self.origin):
            for start in range(0, member.size, _CHUNK):
                digest.update(self.source.read(member.offset + start, min(_CHUNK, member.size - start)))
        if digest.hexdigest() != self._listed(name)["sha256"]:
            raise _damaged(self.origin, f"the content of '{name}' is not what the manifest says")


def write_bundle(path: Path | str, entries: Mapping[str, bytes | Path], manifest: Mapping[str, Any]) -> None:
    """Write a bundle, whole or not at all.

    Args:
        path: where to.
        entries: name -> content, or the file that holds it. Written in alphabetical order after the manifest.
        manifest: JSON-like facts about the partition; `format` and `entries` are added.

    Raises:
        ArtifactError: a name or size that the format cannot hold, or the file cannot be written; the OSError is the cause.
    """
    path = Path(path)
    if MANIFEST in entries:
        raise ArtifactError(f"{path}: '{MANIFEST}' is written by write_bundle and cannot be an entry")
    sources = {name: _measure(name, content) for name, content in sorted(entries.items())}
    listed = {name: {"size": source.size, "sha256": source.sha256} for name, source in sources.items()}
    text = json.dumps({**manifest, "format": FORMAT, "entries": listed}, indent=1, sort_keys=True, allow_nan=False) + "\n"
    sources = {MANIFEST: _measure(MANIFEST, text.encode()), **sources}
    members = stored_zip.lay_out([(name, source.size, source.crc32) for name, source in sources.items()], str(path))
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            for member in members:
                file.write(stored_zip.local_header(member))
                sources[member.name].copy(file)
            file.write(stored_zip.directory(members))
    except OSError as error:
        raise ArtifactError(f"bundle {path} cannot be written: {error.strerror or error}") from error


def rewrite_bundle(
    source: Bundle,
    path: Path | str,
    *,
    add: Mapping[str, bytes | Path] | None = None,
    facts: Mapping[str, Any] | None = None,
    strip_simulation: bool = False,
) -> None:
    """Write a copy of a bundle with further or other entries and facts, or without what only the simulator needs.

    Raises:
        ArtifactError: as `write_bundle`, or the source is damaged.
    """
    kept = [name for name in source.names if not (strip_simulation and name.startswith(SIMULATION_PREFIX))]
    entries: dict[str, bytes | Path] = {name: source.read(name) for name in kept}
    known = {name: value for name, value in source.manifest.items() if name not in ("format", "entries")}
    write_bundle(path, {**entries, **(add or {})}, {**known, **(facts or {})})


@dataclass(frozen=True)
class _Measured:
    content: bytes | Path
    size: int
    sha256: str
    crc32: int

    def copy(self, file: BinaryIO) -> None:
        written = 0
        for chunk in _chunks(self.content):
            written += len(chunk)
            file.write(chunk)
        if written != self.size:
            raise ArtifactError(
                f"{self.content if isinstance(self.content, Path) else 'an entry'} changed while it was being copied"
            )


def _measure(name: str, content: bytes | Path) -> _Measured:
    digest, crc32, size = hashlib.sha256(), 0, 0
    try:
        for chunk in _chunks(content):
            digest.update(chunk)
            crc32 = zlib.crc32(chunk, crc32)
            size += len(chunk)
    except OSError as error:
        raise ArtifactError(f"'{name}' cannot be put into a bundle: {content!s} cannot be read: {error.strerror}") from error
    return _Measured(content, size, digest.hexdigest(), crc32)


def _chunks(content: bytes | Path) -> Iterator[bytes | memoryview]:
    if isinstance(content, Path):
        with content.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
    elif content:
        yield memoryview(content)


def _manifest(source: Source, members: Mapping[str, Member], origin: str) -> dict[str, Any]:
    member = members.get(MANIFEST)
    if member is None or member.size > _LARGEST_MANIFEST:
        raise _damaged(origin, "it has no manifest: it is not a bundle")
    content = source.read(member.offset, member.size)
    if zlib.crc32(content) != member.crc32:
        raise _damaged(origin, "the manifest's checksum is wrong")
    try:
        manifest = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _damaged(origin, f"the manifest is not JSON: {error}") from error
    if not isinstance(manifest, dict):
        raise _damaged(origin, "the manifest is not a JSON object")
    if manifest.get("format") != FORMAT:
        raise ArtifactError(
            f"{origin}: bundle format {str(manifest.get('format'))[:20]}; this version reads format {FORMAT}",
            remedy="Compile the model again with the installed version: rknn-ep compile.",
        )
    return manifest


def _damaged(origin: str, what: str) -> ArtifactError:
    return stored_zip.damaged(origin, what)


class _reading:  # noqa: N801  (a context manager that reads as a verb)
    """Turns an OSError while reading `origin` into an ArtifactError."""

    def __init__(self, origin: str) -> None:
        self._origin = origin

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise ArtifactError(f"{self._origin} cannot be read: {error.strerror or error}") from error
