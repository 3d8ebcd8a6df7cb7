"""What runs where and why, for people and programs.

    report = build(plan)
    print(report.to_table()); json.dumps(report.to_dict()); Report.from_dict(...)

A report holds plain values only, so that it outlives the graph. Other layers add their own sections (quantisation,
compilation). The layout of the text forms is in `report_text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from rknn_ep.partitioning.advice import advise
from rknn_ep.records import Outcome

if TYPE_CHECKING:
    from rknn_ep.partitioning.partitioner import Plan

FORMAT = 1


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


def build(plan: Plan, *, sections: Mapping[str, Any] | None = None) -> Report:
    """Describe a plan; `sections` are added as they are."""
    verdicts = _verdicts(plan)
    partitions = tuple(_partition(plan, index, verdicts) for index in range(len(plan.partitions)))
    returned = tuple(
        ReturnEntry(tuple(verdicts[node].name for node in given.nodes), given.reason, given.detail, given.macs)
        for given in plan.returned
    )
    report = Report(
        target=plan.target.name,
        precision=plan.precision,
        nodes=Share(
            len(verdicts), sum(entry.where != "cpu" for entry in verdicts), sum(entry.where == "npu" for entry in verdicts)
        ),
        original_nodes=_originals(plan, verdicts),
        macs=Share(
            sum(entry.macs for entry in verdicts),
            sum(entry.macs for entry in verdicts if entry.where != "cpu"),
            sum(entry.macs for entry in verdicts if entry.where == "npu"),
        ),
        partitions=partitions,
        verdicts=verdicts,
        returned=returned,
        advice=(),
        sections=dict(sections or {}),
    )
    return Report(**{item.name: getattr(report, item.name) for item in fields(report)} | {"advice": advise(report)})


def _verdicts(plan: Plan) -> tuple[NodeEntry, ...]:
    from rknn_ep.partitioning.macs import macs  # with the rules behind it: a report from the cache needs none of them

    home = {node: part.name for part in plan.partitions for node in part.nodes}
    back = {node: given for given in plan.returned for node in given.nodes}
    entries = []
    for view_node, verdict in zip(plan.view.nodes, plan.verdicts, strict=True):
        facts, index = view_node.facts, view_node.index
        partition = home.get(index, "")
        reason, detail = verdict.reason, verdict.detail
        if not partition and verdict.outcome is not Outcome.REFUSED:
            given = back.get(index)
            reason, detail = (given.reason, given.detail) if given else ("bound", "its neighbours are not on the NPU")
        entries.append(
            NodeEntry(
                name=facts.name,
                op_type=facts.op_type,
                output=facts.outputs[0].name if facts.outputs else "",
                where=verdict.outcome.value if partition else "cpu",
                partition=partition,
                reason=reason,
                detail=detail,
                limit=verdict.limit,
                source=verdict.source,
                macs=macs(facts),
            )
        )
    return tuple(entries)


def _partition(plan: Plan, index: int, verdicts: Sequence[NodeEntry]) -> PartitionEntry:
    part = plan.partitions[index]
    border = {*part.inputs, *part.outputs}
    tensors: dict[str, TensorEntry] = {}
    operators: dict[str, int] = {}
    for node in part.nodes:
        facts = plan.view.nodes[node].facts
        operators[facts.op_type] = operators.get(facts.op_type, 0) + 1
        for tensor in (*facts.inputs, *facts.outputs):
            if tensor is not None and tensor.name in border:
                tensors.setdefault(tensor.name, TensorEntry(tensor.name, tensor.dtype, tensor.shape or ()))
    return PartitionEntry(
        name=part.name,
        inputs=tuple(tensors[name] for name in part.inputs),
        outputs=tuple(tensors[name] for name in part.outputs),
        nodes=len(part.nodes),
        original_nodes=len(part.origins),
        native_operators=len(part.groups),
        macs=part.macs,
        npu_macs=sum(verdicts[node].macs for node in part.nodes if verdicts[node].where == "npu"),
        weight_bytes=part.weight_bytes,
        border_bytes=part.border_bytes,
        operators=dict(sorted(operators.items())),
    )


def _originals(plan: Plan, verdicts: Sequence[NodeEntry]) -> Share:
    inside = {origin for part in plan.partitions for origin in part.origins}
    beside = {
        origin
        for node in plan.view.nodes
        if verdicts[node.index].where == "native_cpu"
        for origin in node.origins
        if origin in inside
    }
    return Share(len(plan.view.original.names), len(inside), len(inside - beside))


def _read(kind: type[Any], data: Mapping[str, Any]) -> Any:
    return kind(**{item.name: data[item.name] for item in fields(kind)})


def _read_partition(data: Mapping[str, Any]) -> PartitionEntry:
    tensors = {
        side: tuple(TensorEntry(entry["name"], entry["dtype"], tuple(entry["shape"])) for entry in data[side])
        for side in ("inputs", "outputs")
    }
    entry: PartitionEntry = _read(PartitionEntry, {**data, **tensors})
    return entry
