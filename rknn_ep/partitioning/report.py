"""What runs where and why, for people and programs.

    report = describe(plan)                                    # plan_report
    print(report.to_table()); json.dumps(report.to_dict()); Report.from_dict(...)

A report holds plain values only, so that it outlives the graph. Other layers add their own sections (quantisation,
compilation). The layout of the text forms is in `report_text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FORMAT = 2


@dataclass(frozen=True)
class Share:
    """How much of something is in partitions."""

    total: int
    inside: int
    """In partitions, whichever side of the vendor's runtime computes it."""
    npu: int
    """In partitions and on the NPU itself, not counting what the vendor runs on its CPU side."""

    @property
    def inside_share(self) -> float:
        """0 to 1; 1 where there is nothing to share."""
        return self.inside / self.total if self.total else 1.0

    @property
    def npu_share(self) -> float:
        """0 to 1; 1 where there is nothing to share."""
        return self.npu / self.total if self.total else 1.0


@dataclass(frozen=True)
class TensorEntry:
    """A tensor at a partition's border."""

    name: str
    dtype: str
    """ONNX name of the element type."""
    shape: tuple[int, ...]


@dataclass(frozen=True)
class PartitionEntry:
    """One partition."""

    name: str
    inputs: tuple[TensorEntry, ...]
    outputs: tuple[TensorEntry, ...]
    nodes: int
    """Nodes of the normalised graph."""
    original_nodes: int
    npu_original_nodes: int
    """Of these, those whose every stand-in is on the NPU itself."""
    native_operators: int
    macs: int
    npu_macs: int
    weight_bytes: int
    border_bytes: int
    operators: Mapping[str, int]
    """Operator -> how many."""


@dataclass(frozen=True)
class NodeEntry:
    """The verdict on one node of the normalised graph."""

    name: str
    op_type: str
    output: str
    where: str
    """npu, native_cpu (both inside a partition) or cpu (the host runtime)."""
    partition: str
    reason: str
    """Why it is not on the NPU: the verdict's reason code, or that of the return; empty on the NPU."""
    detail: str
    limit: str
    source: str
    macs: int


@dataclass(frozen=True)
class ReturnEntry:
    """Nodes that could have gone to the NPU and were given back."""

    nodes: tuple[str, ...]
    reason: str
    detail: str
    macs: int


@dataclass(frozen=True)
class Report:
    """Everything there is to say about a plan."""

    target: str
    precision: str
    nodes: Share
    """Nodes of the normalised graph."""
    original_nodes: Share
    """Nodes as the model came in; its `npu` counts those whose every stand-in is on the NPU."""
    macs: Share
    partitions: tuple[PartitionEntry, ...]
    verdicts: tuple[NodeEntry, ...]
    """Every node, in topological order."""
    returned: tuple[ReturnEntry, ...]
    advice: tuple[str, ...]
    sections: Mapping[str, Any] = field(default_factory=dict)
    """What other layers add: title -> JSON-like content."""

    @property
    def rejected(self) -> tuple[NodeEntry, ...]:
        """Nodes that the host runtime computes."""
        return tuple(entry for entry in self.verdicts if entry.where == "cpu")

    def fallback(self) -> NodeEntry | None:
        """The first node that would run on the host without having been excluded."""
        return next((entry for entry in self.rejected if entry.reason != "excluded"), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-like values; `from_dict` reads them back."""
        data = asdict(self)
        for share in ("nodes", "original_nodes", "macs"):
            data[share] |= {"inside_share": getattr(self, share).inside_share, "npu_share": getattr(self, share).npu_share}
        return {"format": FORMAT, **data}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Report:
        """A report from what `to_dict` gave, also after a trip through JSON."""
        return cls(
            target=data["target"],
            precision=data["precision"],
            nodes=_read(Share, data["nodes"]),
            original_nodes=_read(Share, data["original_nodes"]),
            macs=_read(Share, data["macs"]),
            partitions=tuple(_read_partition(entry) for entry in data["partitions"]),
            verdicts=tuple(_read(NodeEntry, entry) for entry in data["verdicts"]),
            returned=tuple(_read(ReturnEntry, {**entry, "nodes": tuple(entry["nodes"])}) for entry in data["returned"]),
            advice=tuple(data["advice"]),
            sections=dict(data["sections"]),
        )

    def to_markdown(self) -> str:
        """The report as Markdown."""
        from rknn_ep.partitioning.report_text import markdown

        return markdown(self)

    def to_table(self) -> str:
        """The report as plain text with aligned columns."""
        from rknn_ep.partitioning.report_text import plain

        return plain(self)


def _read(kind: type[Any], data: Mapping[str, Any]) -> Any:
    return kind(**{item.name: data[item.name] for item in fields(kind)})


def _read_partition(data: Mapping[str, Any]) -> PartitionEntry:
    tensors = {
        side: tuple(TensorEntry(entry["name"], entry["dtype"], tuple(entry["shape"])) for entry in data[side])
        for side in ("inputs", "outputs")
    }
    entry: PartitionEntry = _read(PartitionEntry, {**data, **tensors})
    return entry
