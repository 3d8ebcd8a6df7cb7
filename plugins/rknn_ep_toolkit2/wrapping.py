"""A .rknn as a bundle in an EPContext model.

What somebody else compiled says itself what it takes and gives. What our compiler wrote has a companion, from which the model
gets its simulation too.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir
from onnx import helper

from rknn_ep import __version__
from rknn_ep.artifact.bundle import NATIVE_TEXT, RKNN_SUFFIX, write_bundle
from rknn_ep.artifact.cache import BUNDLE_SUFFIX
from rknn_ep.artifact.epcontext import write_epcontext_model
from rknn_ep.artifact.native_text import NativeDescription, TensorDescription
from rknn_ep.artifact.rknn_file import RknnMetadata, RknnTensor, read_metadata
from rknn_ep.errors import ArtifactError
from rknn_ep.plugins import plugins
from rknn_ep_toolkit2.companions import Companion, find_companion, mark_of

PARTITION = "rknn_0"
_COMPUTED = frozenset({"INT8", "UINT8", "INT16", "FLOAT16", "FLOAT"})
"""Types that the device computes with: programs see float32, and the runtime converts."""


@dataclass(frozen=True)
class _Partition:
    name: str
    origins: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bundle: Path
    native_text: str


@dataclass(frozen=True)
class Wrapped:
    """What `wrap_rknn` wrote."""

    description: NativeDescription
    companion: Path | None
    """The bundle that the simulation came from; None: only boards run the model."""
    why: str
    """Why there is no companion."""


def wrap_rknn(rknn: Path, output: Path, *, embed_mode: int = 1, companion: Path | None = None) -> Wrapped:
    """Write `output`, an EPContext model that runs `rknn`.

    Args:
        rknn: the file.
        output: where to write the model.
        embed_mode: 1 keeps the file inside the model, 0 beside it.
        companion: the bundle that our compiler wrote with the file; by default it is looked for beside it.

    Raises:
        ArtifactError: the file is no .rknn of the kind that describes itself and has no companion, or holds several sets of
            shapes, or `companion` is not its own, or `output` cannot be written.
        OptionError: it is for a SoC that no plugin knows.
    """
    try:
        content = rknn.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{rknn} cannot be read: {error.strerror}") from error
    found, why = find_companion(rknn, content, companion)
    description = _described(content, rknn, found, why)
    entries: dict[str, bytes | Path] = {}
    facts: dict[str, Any] = {"precision": description.precision}
    if found is not None:
        entries = {name: found.bundle.read(name) for name in found.bundle.names if not name.endswith(RKNN_SUFFIX)}
        facts = {name: value for name, value in found.bundle.manifest.items() if name not in ("format", "entries")}
    name, text = description.partition, description.to_text()
    entries |= {NATIVE_TEXT: text.encode(), f"{description.target}{RKNN_SUFFIX}": content}
    facts |= {"partition": name, "target": description.target, "wrapped": rknn.name}
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        bundle = Path(folder) / f"{name}{BUNDLE_SUFFIX}"
        write_bundle(bundle, entries, facts)
        inputs, outputs = (tuple(one.name for one in tensors) for tensors in (description.inputs, description.outputs))
        part = _Partition(name, (0,), inputs, outputs, bundle, text)
        write_epcontext_model(_shell(description), [part], output, target=description.target, embed_mode=embed_mode)
    return Wrapped(description, found.path if found else None, why)


def _described(content: bytes, rknn: Path, found: Companion | None, why: str) -> NativeDescription:
    try:
        metadata = read_metadata(content, str(rknn))
    except ArtifactError as error:
        if found is not None:
            return found.description(content, "")
        if mark_of(content):
            raise ArtifactError(f"{error.message}; {why}") from error
        raise
    own = describe(metadata, str(rknn))
    return found.description(content, own.target) if found is not None else own


def describe(metadata: RknnMetadata, origin: str) -> NativeDescription:
    """What native code must know of the file."""
    if not metadata.graphs:
        raise ArtifactError(f"{origin} describes no graph: nothing says what it takes and gives")
    if metadata.dynamic:
        choices = ([list(tensor.dims) for tensor in graph.inputs] for graph in metadata.graphs)
        raise ArtifactError(
            f"{origin} takes several input shapes ({' or '.join(map(str, choices))}), between which ONNX Runtime cannot change",
            remedy="Run the file as it is, rknn_ep.runtime.Session(path) follows the shapes of its arrays; "
            "or convert the model with one of them.",
        )
    target = plugins().target(metadata.target)
    graph = metadata.graphs[0]
    inputs, outputs = (tuple(_tensor(one) for one in tensors) for tensors in (graph.inputs, graph.outputs))
    types = {tensor.qtype for tensor in (*inputs, *outputs)}
    return NativeDescription(
        target=target.name,
        precision="int8" if "INT8" in types else "int16" if "INT16" in types else "fp16",
        partition=PARTITION,
        inputs=inputs,
        outputs=outputs,
        cores=target.cores,
        core_masks=target.core_masks,
        copying_api=target.copying_api,
        sdk=__version__,
        weight_bytes=metadata.weight_bytes,
        internal_bytes=metadata.internal_bytes,
    )


def _tensor(tensor: RknnTensor) -> TensorDescription:
    computed = tensor.dtype in _COMPUTED
    quantized = tensor.dtype in ("INT8", "INT16") and bool(tensor.scale)
    return TensorDescription(
        name=tensor.name,
        dims=tensor.dims,
        dtype="FLOAT" if computed else tensor.dtype,
        qtype=tensor.dtype if quantized else "FLOAT16" if computed else "NONE",
        scale=tensor.scale[0] if quantized else 1.0,
        zero_point=tensor.zero_point[0] if quantized and tensor.zero_point else 0,
    )


def _shell(description: NativeDescription) -> ir.Model:
    """A model with one node, in whose place the EPContext node is put."""

    def values(tensors: tuple[TensorDescription, ...]) -> list[onnx.ValueInfoProto]:
        types = onnx.TensorProto.DataType
        return [helper.make_tensor_value_info(one.name, types.Value(one.border_dtype), one.border_dims) for one in tensors]

    node = helper.make_node(
        "Rknn", [one.name for one in description.inputs], [one.name for one in description.outputs], PARTITION, domain="rknn_ep"
    )
    graph = helper.make_graph([node], "wrapped", values(description.inputs), values(description.outputs))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("rknn_ep", 1)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))
