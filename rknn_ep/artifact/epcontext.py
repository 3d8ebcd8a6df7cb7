"""Writes EPContext models: ordinary ONNX files in which each compiled partition is one node that carries its bundle.

ONNX Runtime defines the node (operator EPContext of domain com.microsoft); docs/bundle.md lists the attributes as they are used
here. Reading is in `epcontext_reader`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from rknn_ep.artifact.atomic import replacing, write_atomically
from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.cache import BUNDLE_SUFFIX
from rknn_ep.artifact.epcontext_reader import DOMAIN, OPERATOR, SOURCE, EpcontextModel, EpcontextNode, read_epcontext
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import ArtifactError

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["EpcontextModel", "EpcontextNode", "read_epcontext", "write_epcontext_model"]

_LARGEST_MODEL = 2**31 - 1
"""Protobuf's limit, in bytes."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class CompiledPartition(Protocol):
    """What is needed of a compiled partition; `rknn_ep.builds.BuiltPartition` is one."""

    @property
    def name(self) -> str:
        """Unique in the model: rknn_0."""

    @property
    def origins(self) -> Sequence[int]:
        """Indices of the model's nodes that the partition replaces."""

    @property
    def inputs(self) -> Sequence[str]:
        """Value names, in the bundle's order."""

    @property
    def outputs(self) -> Sequence[str]:
        """Value names, in the bundle's order."""

    @property
    def bundle(self) -> Path:
        """The bundle's file."""

    @property
    def native_text(self) -> str:
        """The lines of native.txt."""


def write_epcontext_model(
    model: ir.Model,
    partitions: Sequence[CompiledPartition],
    output: Path | str,
    *,
    target: str,
    embed_mode: int = 1,
) -> None:
    """Write `model` with every partition replaced by an EPContext node. `model` itself is left as it is.

    Args:
        model: the model that was compiled, as it came in.
        partitions: their origins are disjoint, and each is closed: only its outputs are used outside.
        output: the file to write. With embed_mode 0 the bundles become `<stem>_<partition>.rknnctx` beside it.
        target: SoC name; becomes `hardware_architecture`.
        embed_mode: 1 puts the bundles into the model, 0 beside it.

    Raises:
        ArtifactError: a partition does not fit the model, a bundle is damaged, the model would pass 2 GiB, or a file
            cannot be written. The model file is written last, and whole or not at all.
    """
    output = Path(output)
    if embed_mode not in (0, 1):
        raise ArtifactError(f"embed_mode is 0 or 1, not {embed_mode}")
    replaced = _replace(model, partitions, target, embed_mode, output)
    for partition in partitions:
        Bundle.open(partition.bundle)
    content = _serialize(replaced, partitions, embed_mode, output)
    try:
        for partition in partitions if embed_mode == 0 else ():
            with replacing(output.with_name(side_file(output, partition.name))) as unfinished:
                shutil.copyfile(partition.bundle, unfinished)
        write_atomically(output, content)
    except OSError as error:
        raise ArtifactError(f"{error.filename or output} cannot be written: {error.strerror}") from error


def side_file(output: Path, partition: str) -> str:
    """Name of the file that holds a partition's bundle beside the model, with embed_mode 0."""
    return f"{output.stem}_{partition}{BUNDLE_SUFFIX}"


def _replace(model: ir.Model, partitions: Sequence[CompiledPartition], target: str, embed_mode: int, output: Path) -> ir.Model:
    from rknn_ep import __version__

    clone = model.clone()
    graph = clone.graph
    nodes = list(graph)
    taken: set[int] = set()
    for partition in partitions:
        origins = set(partition.origins)
        if not _NAME.fullmatch(partition.name) or not origins <= set(range(len(nodes))) or origins & taken:
            raise ArtifactError(f"partition '{partition.name}' does not fit the model: its name or its nodes cannot be")
        taken |= origins
        attributes: dict[str, int | str] = {
            "main_context": 1,
            "embed_mode": embed_mode,
            "source": SOURCE,
            "ep_sdk_version": __version__,
            "hardware_architecture": target,
            "partition_name": partition.name,
            "notes": partition.native_text,
        }
        if embed_mode == 0:
            attributes["ep_cache_context"] = side_file(output, partition.name)
        _insert(graph, [nodes[index] for index in sorted(origins)], partition, attributes)
    _drop_dead(graph)
    for index in sorted(taken):
        if nodes[index].graph is not None:
            raise ArtifactError(
                f"a partition does not fit the model: {nodes[index].op_type} '{nodes[index].name}' is inside it, "
                "and something outside uses what it computes"
            )
    try:
        graph.sort()
    except ValueError as error:
        raise ArtifactError("a partition does not fit the model: its inputs depend on its outputs") from error
    graph.opset_imports.setdefault(DOMAIN, 1)
    return clone


def _insert(graph: ir.Graph, nodes: list[ir.Node], partition: CompiledPartition, attributes: dict[str, int | str]) -> None:
    """Append the EPContext node and let everything that used the partition's outputs use the node's."""
    import onnx_ir as ir

    description = NativeDescription.from_text(partition.native_text, f"native text of partition '{partition.name}'")
    described = tuple(tensor.name for tensor in description.outputs)
    if described != tuple(partition.outputs) or tuple(tensor.name for tensor in description.inputs) != tuple(partition.inputs):
        raise ArtifactError(f"partition '{partition.name}' and its bundle have different inputs or outputs")
    values = {value.name: value for value in (*graph.inputs, *graph.initializers.values())}
    values.update((value.name, value) for node in graph for value in node.outputs)
    inner = {value.name: value for node in nodes for value in node.outputs}
    for name in partition.inputs:
        if name not in values:
            raise ArtifactError(f"partition '{partition.name}' does not fit the model: it has no value '{name}'")
    for name in partition.outputs:
        if name not in inner:
            raise ArtifactError(f"partition '{partition.name}' does not fit the model: none of its nodes makes '{name}'")
    outputs = []
    for tensor in description.outputs:
        old = inner[tensor.name]
        shape = old.shape if old.is_graph_output() and old.shape is not None else ir.Shape(tensor.dims)
        outputs.append(ir.Value(name=tensor.name, type=ir.TensorType(ir.DataType[tensor.dtype]), shape=shape))
    node = ir.Node(
        DOMAIN,
        OPERATOR,
        [values[name] for name in partition.inputs],
        ir.convenience.convert_attributes(attributes),
        outputs=outputs,
        name=_free_name(graph, partition.name),
    )
    graph.append(node)
    for tensor, new in zip(description.outputs, outputs, strict=True):
        inner[tensor.name].replace_all_uses_with(new, replace_graph_outputs=True)


def _free_name(graph: ir.Graph, wanted: str) -> str:
    names = {node.name for node in graph}
    name = wanted
    while name in names:
        name += "_"
    return name


def _drop_dead(graph: ir.Graph) -> None:
    """Remove nodes and initializers that nothing uses any more; graph inputs stay, they are the model's interface."""
    kept = set(graph.outputs)
    for node in reversed(graph):
        if not any(value in kept or value.uses() for value in node.outputs):
            graph.remove(node, safe=True)
    kept.update(graph.inputs)
    for name, value in list(graph.initializers.items()):
        if value not in kept and not value.uses():
            del graph.initializers[name]


def _serialize(model: ir.Model, partitions: Sequence[CompiledPartition], embed_mode: int, output: Path) -> bytes:
    from rknn_ep.graph import serialize

    content = serialize(model)
    if embed_mode == 0 or not partitions:
        return content
    import onnx

    bundles = {partition.name: partition.bundle for partition in partitions}
    total = len(content) + sum(path.stat().st_size for path in bundles.values())
    if total > _LARGEST_MODEL:
        raise ArtifactError(
            f"{output} would have {total / 2**30:.1f} GiB, and an ONNX file holds 2 GiB",
            remedy="Use embed_mode=0: the compiled partitions then lie in files of their own.",
        )
    proto = onnx.ModelProto.FromString(content)
    for node in proto.graph.node:
        attributes = {attribute.name: attribute for attribute in node.attribute}
        if node.op_type == OPERATOR and node.domain == DOMAIN and "ep_cache_context" not in attributes:
            attribute = node.attribute.add(name="ep_cache_context", type=onnx.AttributeProto.STRING)
            attribute.s = bundles[attributes["partition_name"].s.decode()].read_bytes()
    serialized: bytes = proto.SerializeToString()
    return serialized
