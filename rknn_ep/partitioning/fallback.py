"""A report after the fact: partitions that no device or compiler would take have gone to the host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rknn_ep.partitioning.advice import advise

if TYPE_CHECKING:
    from rknn_ep.partitioning.report import NodeEntry, PartitionEntry, Report, Share


def without_partitions(report: Report, failed: Mapping[str, str]) -> Report:
    """The same report with the partitions in `failed` (name -> why) on the host: every figure says what really runs."""
    if not failed:
        return report
    gone = [part for part in report.partitions if part.name in failed]
    left = replace(
        report,
        partitions=tuple(part for part in report.partitions if part.name not in failed),
        verdicts=tuple(_on_host(entry, failed) for entry in report.verdicts),
        nodes=_less(report.nodes, sum(part.nodes for part in gone), _on_npu(report, gone)),
        original_nodes=_less(
            report.original_nodes, sum(part.original_nodes for part in gone), sum(part.npu_original_nodes for part in gone)
        ),
        macs=_less(report.macs, sum(part.macs for part in gone), sum(part.npu_macs for part in gone)),
    )
    return replace(left, advice=advise(left))


def _on_npu(report: Report, parts: list[PartitionEntry]) -> int:
    names = {part.name for part in parts}
    return sum(entry.where == "npu" and entry.partition in names for entry in report.verdicts)


def _less(share: Share, inside: int, npu: int) -> Share:
    return replace(share, inside=share.inside - inside, npu=share.npu - npu)


def _on_host(entry: NodeEntry, failed: Mapping[str, str]) -> NodeEntry:
    if entry.partition not in failed:
        return entry
    why = f"{entry.partition}: {failed[entry.partition].splitlines()[0]}"
    return replace(entry, where="cpu", partition="", reason="compile", detail=why)
