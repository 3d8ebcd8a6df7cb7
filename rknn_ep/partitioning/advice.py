"""What a user could do to get more onto the NPU, drawn from a report."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rknn_ep.partitioning.report import NodeEntry, Report


def advise(report: Report) -> tuple[str, ...]:
    """Sentences, the most useful first; none when everything runs on the NPU."""
    rejected = report.rejected
    found = []
    if not report.partitions:
        found.append("Nothing runs on the NPU: see the reasons below.")
    found += _shapes(rejected)
    found += _opset(rejected)
    found += _cuts(report)
    found += _returned(report)
    found += _native(report)
    return tuple(found)


def _shapes(rejected: tuple[NodeEntry, ...]) -> list[str]:
    count = sum(entry.reason == "shape" for entry in rejected)
    if not count:
        return []
    return [f"Without a static shape: {_nodes(count)}. Give every dynamic input its shape with input_shapes."]


def _opset(rejected: tuple[NodeEntry, ...]) -> list[str]:
    count = sum(entry.reason == "opset" for entry in rejected)
    return [f"Of a newer operator set: {_nodes(count)}. Export the model with opset 19 or older."] if count else []


def _cuts(report: Report) -> list[str]:
    """Refused operators, those that stand in the way of the most work first."""
    refused = [
        entry
        for entry in report.rejected
        if entry.reason in ("operator", "attribute", "rank", "dtype", "constant", "limit", "domain")
    ]
    if not refused:
        return []
    counts = Counter(entry.op_type for entry in refused)
    named = ", ".join(
        f"{op_type} ({count})" for op_type, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]
    )
    text = f"These operators stay with the host: {named}."
    if len(report.partitions) > 1:
        text += f" They cut the model into {len(report.partitions)} partitions; replacing those in the middle saves copies."
    return [text]


def _returned(report: Report) -> list[str]:
    work = sum(entry.macs for entry in report.returned if entry.reason == "cost")
    count = sum(len(entry.nodes) for entry in report.returned if entry.reason == "cost")
    if not count:
        return []
    return [f"Given back because they would not pay: {_nodes(count)} with {work:,} MACs; min_partition_macs=0 keeps them."]


def _native(report: Report) -> list[str]:
    beside = [entry for entry in report.verdicts if entry.where == "native_cpu"]
    if not beside:
        return []
    counts = Counter(entry.op_type for entry in beside)
    named = ", ".join(
        f"{op_type} ({count})" for op_type, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]
    )
    return [f"The vendor's runtime computes these inside partitions on its CPU side: {named}."]


def _nodes(count: int) -> str:
    return "1 node" if count == 1 else f"{count} nodes"
