"""Models in and out: from a file or bytes to onnx-ir, and back to bytes."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError, EncodeError  # type: ignore[import-untyped]

from rknn_ep.errors import ModelError
from rknn_ep.graph.check import check_model
from rknn_ep.graph.collector import collector_paused
from rknn_ep.graph.provenance import bodies_of

MAXIMUM_BYTES = (1 << 31) - 1
"""Protobuf's own limit for one message."""


def load_model(source: str | Path | bytes) -> ir.Model:
    """Read an ONNX model; weights in external files are mapped, not read.

    Local functions are expanded, and nodes are put in topological order where they are not: the model that is handed back
    is what a view calls the original.

    Args:
        source: a path, or the bytes of a ModelProto. Bytes have no folder, so their weights must be inside.

    Raises:
        ModelError: the file cannot be read, is no valid ONNX, is larger than 2 GiB with its weights, is of an opset that
            is not supported, or names a data file that is missing, too short or outside the model's own folder.
    """
    with collector_paused():
        return _load(source)


def _load(source: str | Path | bytes) -> ir.Model:
    if isinstance(source, bytes):
        return _parse(source, "the model", None)
    path = Path(source)
    try:
        if path.is_dir():
            raise ModelError(f"'{path}' is a folder, not an ONNX model", remedy="Name the .onnx file inside it.")
        size = path.stat().st_size
        if size > MAXIMUM_BYTES:
            raise ModelError(f"'{path}' has {size / 2**30:.1f} GiB; models over 2 GiB are not supported", remedy=_SMALLER)
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot read the model '{path}': {error.strerror or error}") from error
    return _parse(content, f"'{path}'", path.parent)


_SMALLER = "Split the model, or export it in float16."


def serialize(model: ir.Model) -> bytes:
    """The model as ONNX bytes with every tensor inside; equal models give equal bytes.

    Raises:
        ModelError: the bytes would exceed 2 GiB.
    """
    tensors = [value.const_value for graph in model.graphs() for value in graph.initializers.values()]
    size = sum(tensor.nbytes for tensor in tensors if tensor is not None and tensor.dtype != ir.DataType.STRING)
    if size > MAXIMUM_BYTES:
        raise ModelError(
            f"the model holds {size / 2**30:.1f} GiB of weights; models over 2 GiB are not supported", remedy=_SMALLER
        )
    try:
        return bytes(ir.to_proto(_with_data_inside(model)).SerializeToString(deterministic=True))
    except EncodeError as error:
        raise ModelError("the model exceeds 2 GiB as ONNX bytes", remedy=_SMALLER) from error
    except ir.serde.SerdeError as error:
        raise ModelError(f"the model cannot be written as ONNX: {error.__cause__ or error}") from error


def _parse(content: bytes, label: str, folder: Path | None) -> ir.Model:
    if not content:
        raise ModelError(f"{label} is empty", remedy="Fetch or export it again.")
    try:
        proto = onnx.ModelProto.FromString(content)
    except DecodeError as error:
        raise ModelError(
            f"{label} is not an ONNX model, or it is damaged: {error}",
            remedy="Fetch or export it again; onnx.checker.check_model says more.",
        ) from error
    check_model(proto, label, folder, MAXIMUM_BYTES)
    try:
        model = ir.from_proto(proto)
        if model.functions:
            from onnx_ir.passes.common import InlinePass

            InlinePass()(model)
        if not is_sorted(model.graph):
            model.graph.sort()
    except Exception as error:
        # The checks above catch what is known to go wrong; whatever else onnx-ir cannot take is the model's fault too.
        raise ModelError(f"{label} is damaged: {error}", remedy="onnx.checker.check_model says more.") from error
    if folder is not None:
        ir.external_data.set_base_dir(model.graph, folder)
    return model


def is_sorted(graph: ir.Graph) -> bool:
    """Whether every node comes after the nodes that make its inputs."""
    seen: set[int] = set()
    for node in graph:
        for value in node.inputs:
            maker = value.producer() if value is not None else None
            if maker is not None and maker.graph is graph and id(maker) not in seen:
                return False
        for body in bodies_of(node):
            for inner in ir.traversal.RecursiveGraphIterator(body):
                for value in inner.inputs:
                    maker = value.producer() if value is not None else None
                    if maker is not None and maker.graph is graph and id(maker) not in seen:
                        return False
        seen.add(id(node))
    return True


def _with_data_inside(model: ir.Model) -> ir.Model:
    """The model itself, or a copy whose external tensors are in memory."""
    if not any(
        isinstance(value.const_value, ir.ExternalTensor) for graph in model.graphs() for value in graph.initializers.values()
    ):
        return model
    copy = model.clone()
    for graph in copy.graphs():
        for value in graph.initializers.values():
            tensor = value.const_value
            if isinstance(tensor, ir.ExternalTensor):
                value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, shape=tensor.shape, name=tensor.name)
    return copy
