"""Reads EPContext models: which nodes they have, who wrote them, and what their bundles hold."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import ArtifactError

if TYPE_CHECKING:
    import onnx_ir as ir

DOMAIN = "com.microsoft"
OPERATOR = "EPContext"
SOURCE = "RKNNExecutionProvider"


@dataclass(frozen=True)
class EpcontextNode:
    """One EPContext node, of ours or of another provider."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, int | float | str]
    """As they stand in the model, without the payload of embed mode 1."""
    payload: bytes | Path | None
    """The bundle's bytes (embed_mode 1) or file (0); None for nodes of other providers and where `problem` says why."""
    description: NativeDescription | None
    """The notes, parsed."""
    problem: str
    """Empty, or why this node cannot be used."""

    @property
    def ours(self) -> bool:
        """Whether RKNNExecutionProvider wrote it."""
        return self.attributes.get("source") == SOURCE

    @property
    def target(self) -> str:
        """The SoC that it was compiled for."""
        return str(self.attributes.get("hardware_architecture", ""))

    def open_bundle(self) -> Bundle:
        """The verified bundle.

        Raises:
            ArtifactError: the node is not ours, or its payload is missing or damaged.
        """
        if self.problem:
            raise ArtifactError(self.problem)
        if isinstance(self.payload, bytes):
            return Bundle.from_bytes(self.payload, f"bundle of EPContext node '{self.name}'")
        if self.payload is None:
            raise ArtifactError(
                f"EPContext node '{self.name}' was written by {self.attributes.get('source') or 'nobody'}, not by {SOURCE}"
            )
        return Bundle.open(self.payload)

    def require(self, target: str) -> None:
        """Refuse a node that this version cannot run on `target`.

        Raises:
            ArtifactError: it is of another provider, version or target, or its payload is missing or damaged.
        """
        bundle = self.open_bundle()
        served = self.description.targets if self.description is not None else (self.target or "an unnamed target",)
        if target not in served:
            raise ArtifactError(
                f"EPContext node '{self.name}' was compiled for {', '.join(served)}, not for {target}",
                remedy=f"Compile the model again: rknn-ep compile --target {target}, or set target={self.target}.",
            )
        if (
            self.description is not None
            and bundle.manifest.get("partition", self.description.partition) != self.description.partition
        ):
            raise ArtifactError(f"EPContext node '{self.name}' carries the bundle of another partition")


@dataclass(frozen=True)
class EpcontextModel:
    """A model's EPContext nodes and how many other nodes it has."""

    path: Path
    nodes: tuple[EpcontextNode, ...]
    other_nodes: int

    @property
    def own(self) -> tuple[EpcontextNode, ...]:
        """The nodes that RKNNExecutionProvider wrote."""
        return tuple(node for node in self.nodes if node.ours)


def read_epcontext(path: Path | str) -> EpcontextModel:
    """Read the EPContext nodes of an ONNX model; payloads are not opened yet.

    Nodes of other providers are listed too. A node of ours that cannot be used has a `problem`.

    Raises:
        ArtifactError: the file cannot be read or is no ONNX model.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    path = Path(path)
    try:
        model = onnx.ModelProto.FromString(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise ArtifactError(f"{path} is not an ONNX model, or it is cut: {error}") from error
    nodes = [node for node in model.graph.node if node.op_type == OPERATOR and node.domain == DOMAIN]
    return EpcontextModel(path, tuple(_node(node, path) for node in nodes), len(model.graph.node) - len(nodes))


def is_ours(node: ir.Node) -> bool:
    """Whether a node of a graph is a partition that rknn_ep compiled."""
    source = node.attributes.get("source")
    return (node.domain, node.op_type) == (DOMAIN, OPERATOR) and source is not None and source.value == SOURCE


def resolve_side_file(model: Path, name: str) -> Path:
    """The file that an `ep_cache_context` of embed mode 0 names.

    Raises:
        ArtifactError: the name leads out of the model's folder, or there is no such file.
    """
    folder = model.parent.resolve()
    try:
        path = (folder / name).resolve()
        inside = path.is_relative_to(folder) and path != folder and not Path(name).is_absolute() and not path.is_symlink()
        exists = inside and path.is_file()
    except (OSError, RuntimeError, ValueError):  # a NUL, a loop of links (it stays a link from Python 3.13 on), a long name
        inside = exists = False
    if not inside:
        raise ArtifactError(
            f"{model}: the EPContext side file {name[:200]!r} lies outside the model's folder",
            remedy="Keep the .rknnctx files beside the model; paths inside models may not leave their folder.",
        )
    if not exists:
        raise ArtifactError(
            f"{model}: the EPContext side file '{name[:200]}' is missing",
            remedy="Copy the .rknnctx files together with the model, or compile with embed_mode=1.",
        )
    return path


def _node(node: Any, path: Path) -> EpcontextNode:
    attributes: dict[str, int | float | str] = {}
    payload = b""
    for attribute in node.attribute:
        if attribute.name == "ep_cache_context":
            payload = attribute.s
        elif attribute.type == attribute.STRING:
            attributes[attribute.name] = attribute.s.decode("utf-8", "replace")
        elif attribute.type in (attribute.INT, attribute.FLOAT):
            attributes[attribute.name] = attribute.i if attribute.type == attribute.INT else attribute.f
    if attributes.get("embed_mode", 1) == 0:
        attributes["ep_cache_context"] = payload.decode("utf-8", "replace")
    where = f"{path}: EPContext node '{node.name}'"
    bundle: bytes | Path | None = None
    description = None
    problem = ""
    if attributes.get("source") == SOURCE:
        try:
            description = NativeDescription.from_text(str(attributes.get("notes", "")), f"{where}, notes")
            bundle = payload if attributes.get("embed_mode", 1) else resolve_side_file(path, str(attributes["ep_cache_context"]))
        except ArtifactError as error:
            problem = str(error)
    return EpcontextNode(node.name, tuple(node.input), tuple(node.output), attributes, bundle, description, problem)
