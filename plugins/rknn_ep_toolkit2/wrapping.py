"""A .rknn that something else compiled, as a bundle in an EPContext model: what it takes and gives stands in the file itself."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir
from onnx import helper

from rknn_ep import __version__
from rknn_ep.artifact.bundle import write_bundle
from rknn_ep.artifact.cache import BUNDLE_SUFFIX
from rknn_ep.artifact.epcontext import write_epcontext_model
from rknn_ep.artifact.native_text import NativeDescription, TensorDescription
from rknn_ep.artifact.rknn_file import RknnMetadata, RknnTensor, read_metadata
from rknn_ep.errors import ArtifactError
from rknn_ep.plugins import plugins

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


def wrap_rknn(rknn: Path, output: Path, *, embed_mode: int = 1) -> NativeDescription:
    """Write `output`, an EPContext model that runs `rknn`.

    Raises:
        ArtifactError: the file is no .rknn of the kind that describes itself, or holds several sets of shapes, or `output`
            cannot be written.
        OptionError: it is for a SoC that no plugin knows.
    """
    metadata = read_metadata(rknn)
    description = describe(metadata, str(rknn))
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        bundle = Path(folder) / f"{PARTITION}{BUNDLE_SUFFIX}"
        entries: dict[str, bytes | Path] = {"native.txt": description.to_text().encode(), f"{description.target}.rknn": rknn}
        facts = {"partition": PARTITION, "target": description.target, "precision": description.precision, "wrapped": rknn.name}
        write_bundle(bundle, entries, facts)
        names = tuple(one.name for one in description.inputs), tuple(one.name for one in description.outputs)
        part = _Partition(PARTITION, (0,), names[0], names[1], bundle, description.to_text())
        write_epcontext_model(_shell(description), [part], output, target=description.target, embed_mode=embed_mode)
    return description


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
        return [helper.make_tensor_value_info(one.name, types.Value(one.dtype), one.dims) for one in tensors]

    node = helper.make_node(
        "Rknn", [one.name for one in description.inputs], [one.name for one in description.outputs], PARTITION, domain="rknn_ep"
    )
    graph = helper.make_graph([node], "wrapped", values(description.inputs), values(description.outputs))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("rknn_ep", 1)]
    return ir.from_proto(helper.make_model(graph, opset_imports=opsets, ir_version=8))
