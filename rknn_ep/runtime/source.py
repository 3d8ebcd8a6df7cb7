"""What a session can be opened from: a bundle, an EPContext model that is one partition, or a vendor .rknn file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rknn_ep.artifact.bundle import NATIVE_TEXT, Bundle
from rknn_ep.artifact.epcontext_reader import EpcontextNode, read_epcontext
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import ArtifactError

_BUNDLE_MAGIC = b"PK\x03\x04"
_RKNN_MAGIC = (b"RKNN", b"RKNX")


@dataclass(frozen=True)
class Source:
    """A compiled model, found and checked."""

    model: Path | bytes
    """What native code opens: the file, or the bytes that a model carried."""
    origin: str
    """How errors name it."""
    descriptions: tuple[NativeDescription, ...]
    """What the bundle says, for each choice of input shapes; empty for a .rknn file, which the device's runtime describes."""
    inputs: tuple[str, ...] = ()
    """Names that the model around the bundle gives; empty: the bundle's own."""
    outputs: tuple[str, ...] = ()

    @property
    def description(self) -> NativeDescription | None:
        """The first of `descriptions`."""
        return self.descriptions[0] if self.descriptions else None


def open_source(model: str | Path | bytes, partition: str | None = None) -> Source:
    """Find out what `model` is.

    Args:
        model: path of a bundle, an EPContext model or a .rknn file; or the bytes of a bundle.
        partition: which EPContext node's partition to run, by name, where a model has several or other nodes around it.

    Raises:
        ArtifactError: the file is missing, damaged or of no such kind, or an EPContext model is more than one partition.
    """
    if isinstance(model, bytes):
        return _bundle(Bundle.from_bytes(model, "the bundle"), model)
    path = Path(model).expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from error
    if magic == _BUNDLE_MAGIC:
        return _bundle(Bundle.open(path), path)
    if magic in _RKNN_MAGIC:
        return Source(path, str(path), ())
    return _epcontext(path, partition)


def _bundle(bundle: Bundle, model: Path | bytes) -> Source:
    first = _description(bundle, NATIVE_TEXT)
    others = (_description(bundle, f"native.{shape}.txt") for shape in range(1, first.shapes))
    return Source(model, bundle.origin, (first, *others))


def _description(bundle: Bundle, name: str) -> NativeDescription:
    return NativeDescription.from_text(bundle.read(name).decode("utf-8", "replace"), f"{bundle.origin}: {name}")


def _epcontext(path: Path, partition: str | None) -> Source:
    model = read_epcontext(path)
    if not model.own:
        raise ArtifactError(
            f"{path} holds nothing that was compiled for an NPU",
            remedy="Compile it first: rknn-ep compile model.onnx -o model_ctx.onnx --target ...",
        )
    node = _chosen(path, model.own, partition, model.other_nodes + len(model.nodes) - len(model.own))
    bundle = node.open_bundle()
    if node.payload is None or node.description is None:
        raise ArtifactError(f"{path}: EPContext node '{node.name}' carries no bundle")
    source = _bundle(bundle, node.payload)
    return Source(source.model, f"{path}, {node.name}", source.descriptions, node.inputs, node.outputs)


def _chosen(path: Path, nodes: tuple[EpcontextNode, ...], partition: str | None, others: int) -> EpcontextNode:
    names = [str(node.attributes.get("partition_name", node.name)) for node in nodes]
    if partition is not None:
        if partition not in names:
            raise ArtifactError(f"{path} has no partition '{partition}': it has {', '.join(names)}")
        return nodes[names.index(partition)]
    if len(nodes) > 1 or others:
        raise ArtifactError(
            f"{path} is {len(nodes)} partitions and {others} nodes for the CPU: a session of rknn_ep.runtime runs one partition",
            remedy=f"Run it with onnxruntime and the provider RKNNExecutionProvider, or name one: partition='{names[0]}'.",
        )
    return nodes[0]
