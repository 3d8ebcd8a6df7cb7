"""What is wrong with a ModelProto, said before anything trips over it.

`onnx.checker` needs a second copy of the model, stops at foreign operators' domains and speaks of protobuf; this
looks at what damage and attacks do: sizes, names, paths.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx

from rknn_ep.errors import ModelError
from rknn_ep.graph.check_nodes import bodies, check_signatures, describe
from rknn_ep.graph.external import check_external
from rknn_ep.graph.tensor_size import stored_bytes

_TENSOR, _TENSORS = onnx.AttributeProto.TENSOR, onnx.AttributeProto.TENSORS
_DAMAGED = "The file is damaged; export it again."


def check_model(model: onnx.ModelProto, label: str, folder: Path | None, maximum_bytes: int) -> None:
    """Check versions, that every value read is made, that every tensor has its bytes, and where data files lie.

    Args:
        model: parsed, nothing more.
        label: how messages name the model.
        folder: where external data may lie; None: nowhere.
        maximum_bytes: for all tensors together.

    Raises:
        ModelError: the first thing that is wrong.
    """
    if not model.HasField("graph") or not model.opset_import or not model.ir_version:
        missing = [
            name
            for name, there in (
                ("graph", model.HasField("graph")),
                ("opset", model.opset_import),
                ("IR version", model.ir_version),
            )
            if not there
        ]
        raise ModelError(
            f"{label} is not a complete ONNX model: it has no {' and no '.join(missing)}", remedy="Fetch or export it again."
        )
    _check_versions(model, label)
    if not all(isinstance(text, str) for text in _free_texts(model)):
        raise ModelError(f"{label}: a name or description is not text", remedy=_DAMAGED)
    _check_names(model.graph, label, set())
    check_signatures(model.graph, {item.domain: item.version for item in model.opset_import}, label)
    total = 0
    for owner, tensor in _tensors(model.graph):
        total += _check_tensor(tensor, owner, label, folder)
        if total > maximum_bytes:
            raise ModelError(
                f"{label} holds more than 2 GiB of weights; models over 2 GiB are not supported",
                remedy="Split the model, or export it in float16.",
            )


def _free_texts(model: onnx.ModelProto) -> Iterator[str | bytes]:
    """Text that means nothing to us; protobuf gives what is not UTF-8 as bytes."""
    yield from (
        model.producer_name,
        model.producer_version,
        model.domain,
        model.doc_string,
        model.graph.name,
        model.graph.doc_string,
    )
    for entry in (*model.metadata_props, *model.graph.metadata_props):
        yield from (entry.key, entry.value)
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        yield value.doc_string
        if value.type.HasField("tensor_type"):
            yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim if dim.HasField("dim_param"))
    for node in model.graph.node:
        yield node.doc_string


def _check_versions(model: onnx.ModelProto, label: str) -> None:
    if model.ir_version > onnx.IR_VERSION:
        raise ModelError(
            f"{label} has ONNX IR version {model.ir_version}; onnx {onnx.__version__} knows up to {onnx.IR_VERSION}",
            remedy="Upgrade the onnx package, or check that the file is not damaged.",
        )
    newest = onnx.defs.onnx_opset_version()
    for item in model.opset_import:
        if item.domain not in ("", "ai.onnx"):
            continue
        if item.version > newest:
            raise ModelError(
                f"{label} uses opset {item.version}; the installed onnx {onnx.__version__} knows up to {newest}",
                remedy="Upgrade the onnx package or export the model with an older opset, for example 17.",
            )
        if item.version < 1:
            raise ModelError(f"{label} uses opset {item.version}, which never was", remedy=_DAMAGED)


def _check_names(graph: onnx.GraphProto, label: str, outside: set[str]) -> None:
    """Every value has one maker, and whatever is read is made somewhere."""
    known = outside | _made(graph, label) | {""}
    for node in graph.node:
        for name in node.input:
            if name not in known:
                raise ModelError(f"{label}: {describe(node)} reads '{name}', which nothing makes", remedy=_DAMAGED)
        for body in bodies(node):
            _check_names(body, label, known)
    for value in graph.output:
        if value.name not in known:
            raise ModelError(f"{label}: nothing makes the output '{value.name}'", remedy=_DAMAGED)


def _made(graph: onnx.GraphProto, label: str) -> set[str]:
    """Names of the values that a graph has of itself."""
    declared = [value.name for value in (*graph.input, *graph.output, *graph.initializer)]
    if not all(isinstance(name, str) for name in (*declared, *(value.name for value in graph.value_info))):
        raise ModelError(f"{label}: a value has a name that is not text", remedy=_DAMAGED)
    if not all(declared):
        raise ModelError(f"{label}: an input, output or initializer has no name", remedy=_DAMAGED)
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    made.update(tensor.values.name for tensor in graph.sparse_initializer)
    for node in graph.node:
        for name in node.output:
            if name and name in made:
                raise ModelError(
                    f"{label}: the value '{name}' is made twice, the second time by {describe(node)}", remedy=_DAMAGED
                )
            made.add(name)
    return made


def _tensors(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield f"initializer '{tensor.name}'", tensor
    for node in graph.node:
        for attribute in node.attribute:
            kind = attribute.type
            for tensor in (attribute.t,) if kind == _TENSOR else attribute.tensors if kind == _TENSORS else ():
                yield f"attribute '{attribute.name}' of {describe(node)}", tensor
        for body in bodies(node):
            yield from _tensors(body)


def _check_tensor(tensor: onnx.TensorProto, owner: str, label: str, folder: Path | None) -> int:
    """The tensor's size in bytes, after a look at whether it has them."""
    shape = ",".join(map(str, tensor.dims))
    try:
        expected = stored_bytes(tensor)
    except ValueError as error:
        raise ModelError(f"{label}: {owner}: {error}", remedy=_DAMAGED) from error
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        check_external(tensor, expected, f"{label}: {owner}", folder)
    elif expected.found != expected.wanted:
        raise ModelError(
            f"{label}: {owner} of shape {shape or 'scalar'} needs {expected.wanted} {expected.unit} and has {expected.found}",
            remedy=_DAMAGED,
        )
    return expected.bytes
