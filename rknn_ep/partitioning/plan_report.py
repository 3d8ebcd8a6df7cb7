"""The report on a plan: every verdict and partition as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rknn_ep.partitioning.advice import advise
from rknn_ep.partitioning.fallback import without_partitions
from rknn_ep.partitioning.macs import macs
from rknn_ep.partitioning.report import NodeEntry, PartitionEntry, Report, ReturnEntry, Share, TensorEntry
from rknn_ep.records import Outcome

if TYPE_CHECKING:
    from rknn_ep.partitioning.partitioner import Plan


def describe(plan: Plan, *, sections: Mapping[str, Any] | None = None, failed: Mapping[str, str] | None = None) -> Report:
    """Describe a plan; `sections` are added as they are; partitions in `failed` (with the reason) could not be compiled."""
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
        original_nodes=Share(
            len(plan.view.original.names),
            sum(part.original_nodes for part in partitions),
            sum(part.npu_original_nodes for part in partitions),
        ),
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
    return without_partitions(replace(report, advice=advise(report)), failed or {})


def _verdicts(plan: Plan) -> tuple[NodeEntry, ...]:
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
    beside = {origin for node in part.nodes if verdicts[node].where == "native_cpu" for origin in plan.view.nodes[node].origins}
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
        npu_original_nodes=len(set(part.origins) - beside),
        native_operators=len(part.groups),
        macs=part.macs,
        npu_macs=sum(verdicts[node].macs for node in part.nodes if verdicts[node].where == "npu"),
        weight_bytes=part.weight_bytes,
        border_bytes=part.border_bytes,
        operators=dict(sorted(operators.items())),
    )
