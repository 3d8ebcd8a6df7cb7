"""A report as plain text and as Markdown: the same sections, the same columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rknn_ep.partitioning.report import NodeEntry, Report, Share, TensorEntry

Rows = Sequence[Sequence[str]]


def markdown(report: Report) -> str:
    """Headings, tables and lists."""
    lines = [f"# {_title(report)}", ""]
    for title, header, rows in _tables(report):
        lines += [f"## {title}", "", _row(header), _row(["---"] * len(header)), *(_row(row) for row in rows), ""]
    if report.advice:
        lines += ["## Advice", "", *(f"- {sentence}" for sentence in report.advice), ""]
    for title, content in report.sections.items():
        lines += [f"## {title.capitalize()}", "", *(f"- {line}" for line in _flat(content)), ""]
    return "\n".join(lines)


def plain(report: Report) -> str:
    """Aligned columns; long texts go last so that a terminal can wrap them."""
    lines = [_title(report), ""]
    for title, header, rows in _tables(report):
        lines += [title, *_aligned(header, rows), ""]
    if report.advice:
        lines += ["Advice", *(f"  {sentence}" for sentence in report.advice), ""]
    for title, content in report.sections.items():
        lines += [title.capitalize(), *(f"  {line}" for line in _flat(content, most=_MOST_RECORDS)), ""]
    return "\n".join(lines)


def _title(report: Report) -> str:
    count = len(report.partitions)
    parts = "1 partition" if count == 1 else f"{count} partitions"
    return f"{report.target}, {report.precision}: {parts}, {report.macs.npu_share:.1%} of MACs on the NPU"


def _tables(report: Report) -> Iterable[tuple[str, Sequence[str], Rows]]:
    yield "Coverage", ("of", "total", "in partitions", "on the NPU itself"), _coverage(report)
    if report.partitions:
        yield "Partitions", ("name", "nodes", "MACs", "weights", "border", "inputs", "outputs"), _partitions(report)
    if rejected := report.rejected:
        yield (
            "Nodes on the host",
            ("operator", "node", "reason", "detail", "limit", "source"),
            [_node(entry) for entry in rejected],
        )
    if beside := [entry for entry in report.verdicts if entry.where == "native_cpu"]:
        rows = [(entry.op_type, entry.name, entry.partition, entry.detail, entry.source) for entry in beside]
        yield "Nodes on the vendor's CPU side", ("operator", "node", "partition", "detail", "source"), rows
    if report.returned:
        rows = [
            (entry.reason, str(len(entry.nodes)), f"{entry.macs:,}", _few(entry.nodes), entry.detail) for entry in report.returned
        ]
        yield "Given back", ("reason", "nodes", "MACs", "which", "why"), rows


def _coverage(report: Report) -> Rows:
    shares: list[tuple[str, Share]] = [("MACs", report.macs), ("nodes", report.nodes), ("original nodes", report.original_nodes)]
    return [
        (name, f"{share.total:,}", f"{share.inside:,} ({share.inside_share:.1%})", f"{share.npu:,} ({share.npu_share:.1%})")
        for name, share in shares
    ]


def _partitions(report: Report) -> Rows:
    return [
        (
            entry.name,
            str(entry.nodes),
            f"{entry.macs:,}",
            _bytes(entry.weight_bytes),
            _bytes(entry.border_bytes),
            _tensors(entry.inputs),
            _tensors(entry.outputs),
        )
        for entry in report.partitions
    ]


def _node(entry: NodeEntry) -> Sequence[str]:
    return entry.op_type, entry.name, entry.reason, entry.detail, entry.limit, entry.source


def _tensors(tensors: Sequence[TensorEntry]) -> str:
    return ", ".join(f"{tensor.name} {tensor.dtype}[{','.join(map(str, tensor.shape))}]" for tensor in tensors)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _bytes(size: int) -> str:
    return f"{size / 1048576:.1f} MiB" if size >= 1048576 else f"{size / 1024:.1f} KiB"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def _aligned(header: Sequence[str], rows: Rows) -> list[str]:
    everything = [header, *rows]
    widths = [max(len(row[column]) for row in everything) for column in range(len(header))]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in everything]


_MOST_RECORDS = 20
"""Records of one list that a terminal shows: a network has hundreds of layers."""


def _flat(content: Any, prefix: str = "", most: int | None = None) -> list[str]:
    """Nested content as lines of `path: value`; of longer lists of records their number alone."""
    if isinstance(content, Mapping):
        return [line for key, value in content.items() for line in _flat(value, f"{prefix}.{key}" if prefix else str(key), most)]
    if isinstance(content, (list, tuple)) and any(isinstance(item, (Mapping, list, tuple)) for item in content):
        if most is not None and len(content) > most:
            return [f"{prefix}: {len(content)}, listed in --json and in a report.md or report.json"]
        if all(isinstance(item, Mapping) for item in content):
            return [f"{prefix}[{index}]: {_on_one_line(item)}" for index, item in enumerate(content)]
        return [line for index, item in enumerate(content) for line in _flat(item, f"{prefix}[{index}]", most)]
    return [f"{prefix}: {_plain(content)}" if prefix else _plain(content)]


def _on_one_line(item: Mapping[str, Any]) -> str:
    return "; ".join(f"{key} {_plain(value)}" for key, value in item.items() if value not in ("", [], None))


def _plain(value: Any) -> str:
    if isinstance(value, (list, tuple)) and value and all(isinstance(one, str) for one in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, default=str)
