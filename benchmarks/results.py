"""One figure of a benchmark, and how figures are shown and kept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One measured figure, with its peer's of the same run."""

    benchmark: str
    case: str
    """What was measured: the model, its size."""
    measure: str
    """Which of its figures: "fast, 1 thread"."""
    value: float
    unit: str
    peer: str = ""
    """The named peer: "ORT CPU fp32"."""
    peer_value: float | None = None
    goal: str = ""
    """What it should be, in words: "at most 1.1"; a benchmark never fails for it."""
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by the peer's."""
        return self.value / self.peer_value if self.peer_value else None

    def text(self) -> str:
        """The figure in a line."""
        against = f" against {number(self.peer_value)} {self.unit} ({self.peer}), ratio {self.ratio:.2f}" if self.ratio else ""
        return f"{number(self.value)} {self.unit}{against}{f' ({self.note})' if self.note else ''}"


def number(value: float | None) -> str:
    """Three significant digits, thousands grouped."""
    if value is None:
        return ""
    if value and abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 0.9 or abs(value) > 1.1 else f"{value:.4f}".rstrip("0").rstrip(".")


def markdown(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| case | measure | median | peer | peer's median | ratio | goal | note |", "|---|---|--:|---|--:|--:|---|---|"]
    for row in rows:
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
        peer_value = f"{number(row.peer_value)} {row.unit}" if row.peer_value is not None else ""
        cells = [row.case, row.measure, f"{number(row.value)} {row.unit}", row.peer, peer_value, ratio, row.goal, row.note]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write(folder: Path, name: str, machine: Mapping[str, object], rows: Sequence[Row], failed: Sequence[str]) -> None:
    """Keep everything as <name>.json and <name>.md."""
    folder.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine, "failed": failed, "rows": [asdict(row) | {"ratio": row.ratio} for row in rows]}
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1, default=str))
    sections = [f"- {key}: {value}" for key, value in machine.items()]
    for benchmark in dict.fromkeys(row.benchmark for row in rows):
        sections.append(f"\n## {benchmark}\n\n{markdown([row for row in rows if row.benchmark == benchmark])}")
    (folder / f"{name}.md").write_text("\n".join(["# Benchmarks", "", *sections, ""]))
