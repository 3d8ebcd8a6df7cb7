"""How much memory a model needs on a board, before it is there: of a .rknn, a bundle, a compiled or a plain ONNX model.

    memory_of("model.onnx", {"target": "rk3588"}).total(contexts=3)

Figures come from the vendor's compiler where there is a .rknn, else from our estimate (`rknn_ep.partitioning.footprint`); each
part says which. Weights are held once (contexts share them through rknn_dup_context), everything else by every context.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rknn_ep.errors import ArtifactError

if TYPE_CHECKING:
    from rknn_ep.artifact.bundle import Bundle
    from rknn_ep.artifact.native_text import NativeDescription, TensorDescription
    from rknn_ep.artifact.rknn_file import RknnMetadata
    from rknn_ep.partitioning.partitioner import Plan

DOMAIN_BYTES = 4 << 30
"""What one context can address: an IOMMU domain of the NPU is 4 GB (rknn_matmul_info.iommu_domain_id, SDK 2.3.2), and SoCs
without more address lines (RK3566, RK3568, RV11xx: dma_bits 32 in the driver) reach no further at all."""

PACKAGE_BYTES = {"rv1103": 64 << 20, "rv1106": 256 << 20}
"""SoCs whose memory is in their own package, and the most that any of them is known to have. No datasheet was at hand.
RV1103: 64 MB, as Armbian's board file of the Luckfox Pico Mini says. RV1106: 256 MB, as the README of
frodobots-org/earth-rover-mini says of its RV1106G3; an RV1106G2 has less. RV1103B and RV1106B: unknown, so
nothing is held against them."""
MARGIN = 1.6
"""Estimates are held against limits this many times: on seven real partitions the compiler took 1.0 to 1.6 times the weights and
0.8 to 1.2 times the internal memory that we estimate (docs/doctor.md)."""

COMPILER, ESTIMATE = "vendor compiler", "estimate"
_ZIP, _RKNN = b"PK\x03\x04", (b"RKNN", b"RKNX")
_CODES = {"INT8": 1, "INT16": 2, "FLOAT16": 2}
_BORDER = {"INT64": 8, "INT32": 4, "FLOAT": 4, "BOOL": 1, "UINT8": 1, "INT8": 1, "INT16": 2, "UINT16": 2, "FLOAT16": 2}


@dataclass(frozen=True)
class Part:
    """One partition; all figures in bytes."""

    name: str
    target: str
    weights: int
    internal: int
    inputs: int
    outputs: int
    source: str
    """`vendor compiler`, from the .rknn, or `estimate`."""


@dataclass(frozen=True)
class Memory:
    """What a model needs on the device."""

    parts: tuple[Part, ...]

    @property
    def weights(self) -> int:
        """Bytes that all contexts share."""
        return sum(part.weights for part in self.parts)

    @property
    def per_context(self) -> int:
        """Bytes that every context needs for itself: internal, input and output memory."""
        return sum(part.internal + part.inputs + part.outputs for part in self.parts)

    def total(self, contexts: int = 1) -> int:
        """Bytes of `contexts` contexts with shared weights."""
        return self.weights + contexts * self.per_context

    @property
    def largest_domain(self) -> int:
        """Bytes of the partition that needs most: each context must fit into one domain."""
        return max((part.weights + part.internal + part.inputs + part.outputs for part in self.parts), default=0)

    @property
    def fits_domain(self) -> bool:
        """Whether every partition fits into the 4 GB that a context can address."""
        return self.largest_domain <= DOMAIN_BYTES

    @property
    def surely_fits_domain(self) -> bool:
        """The same when an estimate may be short by MARGIN."""
        return self.largest_domain * (MARGIN if self.source == ESTIMATE else 1) <= DOMAIN_BYTES

    @property
    def source(self) -> str:
        """Where the figures come from; `estimate` as soon as one part is estimated."""
        return ESTIMATE if any(part.source == ESTIMATE for part in self.parts) else COMPILER

    def to_dict(self, contexts: int = 1) -> dict[str, Any]:
        """JSON-like facts."""
        return {
            "source": self.source if self.parts else "",
            "weight_bytes": self.weights,
            "bytes_per_context": self.per_context,
            "contexts": contexts,
            "total_bytes": self.total(contexts),
            "domain_bytes": DOMAIN_BYTES,
            "fits_domain": self.fits_domain,
            "partitions": [asdict(part) for part in self.parts],
        }


def memory_of(path: Path | str, options: Mapping[str, Any] | None = None) -> Memory:
    """What the model at `path` needs.

    Args:
        path: a .rknn, a bundle, an EPContext model, or an ONNX model, which is planned for `target` first.
        options: provider options; of a bundle with several .rknn the one for `target` counts.

    Raises:
        RknnEpError: the file cannot be read, is of no kind that is known, or cannot be planned.
    """
    path = Path(path)
    options = dict(options or {})
    if _magic(path) in _RKNN:
        from rknn_ep.artifact.rknn_file import read_metadata

        return Memory((of_metadata(path.name, read_metadata(path)),))
    bundles = _bundles(path)
    if bundles:
        return Memory(tuple(of_bundle(bundle, str(options.get("target", ""))) for bundle in bundles))
    return _planned(path, options)


def compiled_metadata(path: Path, target: str = "") -> list[RknnMetadata]:
    """The description of every .rknn that the file is or holds; of several targets the one asked for.

    Raises:
        ArtifactError: the file or a .rknn in it cannot be read.
    """
    from rknn_ep.artifact.rknn_file import read_metadata

    if _magic(path) in _RKNN:
        return [read_metadata(path)]
    found = ((bundle, _entry(bundle, target)) for bundle in _bundles(path))
    return [read_metadata(bundle.read(name), f"{name} of {bundle.origin}") for bundle, name in found if name]


def compiled_for(path: Path) -> dict[str, bool]:
    """SoCs that the file is compiled for, and whether boards can load it; empty for a model that is not compiled.

    Raises:
        ArtifactError: the file or a bundle in it cannot be read or is damaged.
    """
    from rknn_ep.artifact.rknn_file import read_metadata

    if _magic(path) in _RKNN:
        return {read_metadata(path).target.lower(): True}
    found: dict[str, bool] = {}
    for bundle in _bundles(path):
        targets = {name.removesuffix(".rknn") for name in bundle.names if name.endswith(".rknn")}
        own = str(bundle.manifest.get("target", ""))
        for target in {own, *targets} - {""}:
            found[target] = found.get(target, True) and target in targets
    return found


def of_bundle(bundle: Bundle, target: str = "") -> Part:
    """One partition's need: what its .rknn says, else what was estimated when it was compiled.

    Raises:
        ArtifactError: the bundle has no description, or it is damaged.
    """
    from rknn_ep.artifact.native_text import NativeDescription
    from rknn_ep.artifact.rknn_file import read_metadata

    name = str(bundle.manifest.get("partition", ""))
    if entry := _entry(bundle, target):
        try:
            return of_metadata(name, read_metadata(bundle.read(entry), entry))
        except ArtifactError:  # rv1106 and rv1103b: a description that cannot be read
            pass
    if "native.txt" not in bundle.names:
        raise ArtifactError(f"{bundle.origin} has no native.txt: nothing says what it needs")
    return of_description(NativeDescription.from_text(bundle.read("native.txt").decode("utf-8", "replace"), bundle.origin))


def of_metadata(name: str, metadata: RknnMetadata) -> Part:
    """What a .rknn says about itself; of several shapes the largest is what must fit."""
    inputs = max((sum(tensor.size for tensor in graph.inputs) for graph in metadata.graphs), default=0)
    outputs = max((sum(tensor.size for tensor in graph.outputs) for graph in metadata.graphs), default=0)
    return Part(name, metadata.target, metadata.weight_bytes, metadata.internal_bytes, inputs, outputs, COMPILER)


def of_description(description: NativeDescription) -> Part:
    """The estimate that was written when the partition was compiled."""
    return Part(
        description.partition,
        description.target,
        description.weight_bytes,
        description.internal_bytes,
        sum(map(_tensor_bytes, description.inputs)),
        sum(map(_tensor_bytes, description.outputs)),
        ESTIMATE,
    )


def of_plan(plan: Plan) -> Memory:
    """The estimate for a model that is planned and not compiled."""
    from rknn_ep.partitioning.extract import extract
    from rknn_ep.partitioning.footprint import footprint

    parts = []
    for part in plan.partitions:
        found = footprint(extract(plan.view, part), plan.precision, part.groups)
        parts.append(Part(part.name, plan.target.name, found.weights, found.internal, found.inputs, found.outputs, ESTIMATE))
    return Memory(tuple(parts))


def _planned(path: Path, options: dict[str, Any]) -> Memory:
    from rknn_ep.options import Options
    from rknn_ep.pipeline import plan_model
    from rknn_ep.plugins import plugins

    parsed = Options.parse(options)
    precision = parsed.precision
    if precision == "auto":  # what a session would choose, without the calibration data that it would ask for
        half = parsed.calibration is None and "fp16" in plugins().target(parsed.target).precisions
        precision = "fp16" if half else "int8"
    return of_plan(plan_model(path, parsed, precision))


def _entry(bundle: Bundle, target: str) -> str:
    names = [name for name in bundle.names if name.endswith(".rknn")]
    wanted = f"{target or bundle.manifest.get('target', '')}.rknn"
    return wanted if wanted in names else ""


def _tensor_bytes(tensor: TensorDescription) -> int:
    return prod(tensor.dims) * _CODES.get(tensor.qtype, _BORDER.get(tensor.dtype, 4))


def _bundles(path: Path) -> list[Bundle]:
    from rknn_ep.artifact.bundle import Bundle
    from rknn_ep.artifact.epcontext_reader import read_epcontext

    if _magic(path) == _ZIP:
        return [Bundle.open(path)]
    if path.suffix.lower() != ".onnx":
        return []  # another importer's
    return [node.open_bundle() for node in read_epcontext(path).own]


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
