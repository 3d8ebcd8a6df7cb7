"""What a vendor .rknn file says about itself: names, shapes, types, scales, target, versions, memory, where each node runs.

Only the description is read; weights and registers are not looked at. Slots and header were found by comparing files that we made
with the compiler's own log (toolkit 2.5.0, file version 6) and agree with the open readers rknncli and netron.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rknn_ep.artifact.flatbuffer import Buffer, Table
from rknn_ep.errors import ArtifactError

_MAGIC = b"RKNN"
_HEADER = 64
_IDENTIFIER = 68
_UINT64 = struct.Struct("<Q")
_MCU_VERSION = 0x1004
_MOST_JSON = 64 << 20
_UNITS = {0: "cpu", 2: "npu"}
_KINDS = {1: "input", 2: "output", 3: "activation", 4: "constant"}
_DTYPES = {
    1: "FLOAT",
    2: "UINT8",
    3: "INT8",
    4: "UINT16",
    5: "INT16",
    6: "INT32",
    7: "INT64",
    9: "BOOL",
    10: "FLOAT16",
    11: "DOUBLE",
    12: "UINT32",
    13: "UINT64",
    16: "BFLOAT16",
}
"""ONNX element types by their number (onnx.proto, TensorProto.DataType)."""


@dataclass(frozen=True)
class RknnTensor:
    """A tensor of a compiled graph."""

    name: str
    dtype: str
    """ONNX name of the element type in the device: INT8, FLOAT16."""
    kind: str
    """input, output, activation or constant."""
    dims: tuple[int, ...]
    """As in the ONNX graph."""
    native_dims: tuple[int, ...]
    """In the device's own layout, padding included."""
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    scale: tuple[float, ...]
    """One; empty, like the other three, where it is not quantised, and for weights. NaN and infinity come as they stand."""
    zero_point: tuple[int, ...]
    size: int
    """Bytes with stride."""
    offset: int
    """In the internal memory."""
    width_alignment: int


@dataclass(frozen=True)
class RknnNode:
    """A native operator and the unit that runs it."""

    name: str
    type: str
    unit: str
    """npu or cpu."""
    inputs: tuple[int, ...]
    """Indices of tensors."""
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class RknnGraph:
    """One compiled graph; a file has one for each dynamic shape."""

    tensors: tuple[RknnTensor, ...]
    nodes: tuple[RknnNode, ...]
    inputs: tuple[RknnTensor, ...]
    outputs: tuple[RknnTensor, ...]


@dataclass(frozen=True)
class RknnMetadata:
    """The description of a .rknn file."""

    file_version: int
    target: str
    compiler: str
    """Version of the compiler that wrote it."""
    generator: str
    """What the toolkit noted about the conversion: a Python literal, unread."""
    source: str
    """The format of the model that it was converted from: ONNX."""
    custom_string: str
    """What was put into the toolkit's configuration; rknn_ep's compiler names the bundle's companion here."""
    weight_bytes: int
    internal_bytes: int
    graphs: tuple[RknnGraph, ...]
    inputs: Mapping[str, Any]
    """The description's own JSON: name -> dtype and layout."""
    outputs: Mapping[str, Any]
    summary: Mapping[str, Any]
    """The JSON after the description: a subset for other tools."""

    @property
    def dynamic(self) -> bool:
        """Whether it holds more than one set of shapes."""
        return len(self.graphs) > 1

    @property
    def shapes(self) -> tuple[dict[str, tuple[int, ...]], ...]:
        """For each set of shapes, in the file's order: name of an input or output -> its shape in the ONNX model."""
        return tuple({tensor.name: tensor.dims for tensor in (*graph.inputs, *graph.outputs)} for graph in self.graphs)

    @property
    def units(self) -> dict[str, int]:
        """How many native operators each unit runs, in the first graph."""
        units = [node.unit for node in self.graphs[0].nodes] if self.graphs else []
        return {unit: units.count(unit) for unit in sorted(set(units))}


def read_metadata(source: Path | str | bytes, origin: str = "") -> RknnMetadata:
    """Read the description of a vendor .rknn file.

    Args:
        source: the file, or its bytes.
        origin: how errors name it; by default the file's path.

    Raises:
        ArtifactError: it cannot be read, is not a .rknn file of the kind that this reader knows, or is damaged. Nothing
            else is raised, whatever the bytes are. There is no checksum in the format: damaged weights go unnoticed.
    """
    origin = origin or (".rknn file" if isinstance(source, bytes) else str(source))
    content = source if isinstance(source, bytes) else _read(Path(source), origin)
    version = _check_header(content, origin)
    length = _UINT64.unpack_from(content, 16)[0]
    if length < 8 or _HEADER + length > len(content):
        raise ArtifactError(f"{origin} is cut: it should hold at least {_HEADER + length} bytes and has {len(content)}")
    if content[_IDENTIFIER : _IDENTIFIER + 4] != _MAGIC:
        raise ArtifactError(f"{origin}: no description is found where .rknn files of version 6 have it (file version {version})")
    root = Buffer(content[_HEADER : _HEADER + length], origin).root()
    memory = root.table(19)
    return RknnMetadata(
        file_version=version,
        target=root.text(8),
        compiler=root.text(7),
        generator=root.text(3),
        source=root.text(9),
        custom_string=root.text(11),
        weight_bytes=memory.integer(0) if memory else 0,
        internal_bytes=memory.integer(1) if memory else 0,
        graphs=tuple(_graph(graph, origin) for graph in root.tables(2)),
        inputs=_json(root.text(12)),
        outputs=_json(root.text(13)),
        summary=_summary(content, _HEADER + length),
    )


def _read(path: Path, origin: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{origin} cannot be read: {error.strerror}") from error


def _check_header(content: bytes, origin: str) -> int:
    """The file version, or an error that says which other format this is."""
    if content[:4] == b"RKNX":
        raise ArtifactError(
            f"{origin} is an RKNX file: that is the separate RKNN3 stack for other chips, not a model for these NPUs",
            remedy="Compile the ONNX model for one of the SoCs that rknn-ep plugins lists.",
        )
    if content[:4] != _MAGIC:
        raise ArtifactError(f"{origin} is not a .rknn file: it does not begin with RKNN")
    if len(content) < _HEADER + 8:
        raise ArtifactError(f"{origin} is cut: {len(content)} bytes cannot hold a .rknn file")
    version = int(_UINT64.unpack_from(content, 8)[0])
    if version == _MCU_VERSION:
        raise ArtifactError(
            f"{origin} has file version 0x1004, which the compiler writes for rv1106 and rv1103b: its description is in another "
            "format that this reader does not know",
            remedy="Run it on the board; its inputs and outputs can be asked of the runtime there.",
        )
    return version


def _graph(table: Table, origin: str) -> RknnGraph:
    tensors = tuple(_tensor(tensor) for tensor in table.tables(0))

    def chosen(slot: int) -> tuple[RknnTensor, ...]:
        indices = table.integers(slot)
        if any(index >= len(tensors) for index in indices):
            raise ArtifactError(f"{origin} is damaged: a graph names a tensor that it does not have")
        return tuple(tensors[index] for index in indices)

    return RknnGraph(tensors, tuple(_node(node) for node in table.tables(1)), chosen(2), chosen(3))


def _node(table: Table) -> RknnNode:
    unit = table.integer(3, "<b")
    return RknnNode(table.text(2), table.text(1), _UNITS.get(unit, f"unit {unit}"), table.integers(4), table.integers(5))


def _tensor(table: Table) -> RknnTensor:
    dtype, kind = table.integer(0, "<b"), table.integer(2, "<b")
    return RknnTensor(
        name=table.text(5),
        dtype=_DTYPES.get(dtype, f"type {dtype}"),
        kind=_KINDS.get(kind, f"kind {kind}"),
        dims=table.integers(4),
        native_dims=table.integers(3),
        minimum=table.numbers(8, "f"),
        maximum=table.numbers(9, "f"),
        scale=table.numbers(10, "f"),
        zero_point=tuple(map(int, table.numbers(11, "i"))),
        size=table.integer(12),
        offset=table.integer(13),
        width_alignment=table.integer(20),
    )


def _summary(content: bytes, position: int) -> dict[str, Any]:
    if position + 8 > len(content):
        return {}
    size = _UINT64.unpack_from(content, position)[0]
    if size > _MOST_JSON:
        return {}
    return _json(content[position + 8 : position + 8 + size].decode("utf-8", "replace"))


def _json(text: str) -> dict[str, Any]:
    """An object, or nothing where the text is no JSON object: the description stands without it."""
    try:
        value = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
