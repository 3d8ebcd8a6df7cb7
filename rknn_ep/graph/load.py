"""Models in and out: from a file or bytes to onnx-ir, and back to bytes."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from rknn_ep.errors import ModelError

MAXIMUM_BYTES = (1 << 31) - 1
"""Protobuf's own limit for one message."""


def load_model(source: str | Path | bytes) -> ir.Model:
    """Read an ONNX model; weights in external files are mapped, not read.

    Raises:
        ModelError: the file cannot be read, is no valid ONNX, is too large, or points outside its own folder.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _parse(bytes(source), "the model", None)
    path = Path(source)
    try:
        if path.is_dir():
            raise ModelError(f"'{path}' is a folder, not an ONNX model", remedy="Name the .onnx file inside it.")
        if path.stat().st_size > MAXIMUM_BYTES:
            raise ModelError(f"'{path}' is larger than 2 GiB", remedy="Give a smaller model.")
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}': {error.strerror or error}") from error
    return _parse(content, f"'{path}'", path.parent)


def serialize(model: ir.Model) -> bytes:
    """The model as ONNX bytes with every tensor inside.

    Raises:
        ModelError: it would exceed 2 GiB.
    """
    size = sum(value.const_value.nbytes for graph in model.graphs() for value in graph.initializers.values() if value.const_value)
    if size > MAXIMUM_BYTES:
        raise ModelError(f"the model holds {size / 2**30:.1f} GiB of weights; ONNX bytes cannot exceed 2 GiB")
    whole = ir.external_data.load_to_model(model) if _has_external(model) else model
    return bytes(ir.to_proto(whole).SerializeToString(deterministic=True))


def _has_external(model: ir.Model) -> bool:
    return any(
        isinstance(value.const_value, ir.ExternalTensor) for graph in model.graphs() for value in graph.initializers.values()
    )


def _parse(content: bytes, label: str, folder: Path | None) -> ir.Model:
    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelError(f"{label} is not an ONNX model, or it is damaged: {error}") from error
    if not proto.HasField("graph") or not proto.opset_import:
        raise ModelError(f"{label} is not a complete ONNX model: it has no graph or no opset", remedy="Fetch or export it again.")
    model = ir.from_proto(proto)
    if folder is not None:
        ir.external_data.set_base_dir(model.graph, folder)
    return model
