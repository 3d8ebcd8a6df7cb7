"""Reads a capability table: which configurations of which operators run where, and the limits of the native operators.

Format and provenance: `tables/README.md`. A table may inherit the cases of another SoC; the verdicts drawn from them
say so in their source.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from rknn_ep.errors import RknnEpError, nearest


@dataclass(frozen=True)
class Finding:
    """What became of one configuration of one operator at one precision."""

    unit: str
    """npu; mixed (computed on the NPU, data moved by the CPU side); cpu; refused; crashed (the compiler died);
    unmeasured (the probe could not tell)."""
    native: tuple[str, ...]
    """Native operators it became."""
    why: str
    """Why it was refused, or moved from where it was probed."""
    source: str
    stays_float: bool = False
    """At int8: it has no integer form and was compiled in float16, beside integers."""


@dataclass(frozen=True)
class Limit:
    """A range that a native operator imposes on one figure of a node."""

    minimum: int
    maximum: int | None
    multiple_of: int = 1
    """Above 1 the figure must be a multiple of this."""
    source: str = ""

    def holds(self, figure: int) -> bool:
        """Whether `figure` is within."""
        if figure < self.minimum or (self.maximum is not None and figure > self.maximum):
            return False
        return figure <= 1 or figure % self.multiple_of == 0

    def words(self, quantity: str) -> str:
        """The limit for a report: "kernel in [1, 31]"."""
        top = "any" if self.maximum is None else self.maximum
        multiple = f", a multiple of {self.multiple_of} above 1" if self.multiple_of > 1 else ""
        return f"{quantity} in [{self.minimum}, {top}]{multiple}"


@dataclass(frozen=True)
class Table:
    """One SoC's capabilities."""

    soc: str
    cases: Mapping[str, Mapping[str, Finding]]
    """Case name -> precision column (fp16, int8) -> finding."""
    limits: Mapping[str, Mapping[str, Limit]] = field(default_factory=dict)
    """Native operator -> quantity -> limit."""


@cache
def load_table(name: str) -> Table:
    """Read the shipped table of SoC `name`, with what it inherits.

    Raises:
        RknnEpError: there is no such table.
    """
    folder = files("rknn_ep.partitioning.tables")
    try:
        data = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        known = [entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json")]
        valid = nearest(name, [soc for soc in known if soc != "targets"])
        raise RknnEpError(
            f"there is no capability table '{name}': {valid}", remedy="Set capability_table of the target record to one of these."
        ) from None
    cases: dict[str, Mapping[str, Finding]] = {}
    if data["inherits"]:
        donor = data["inherits"]["from"]
        note = f"{name} inherits from {donor} ({data['inherits']['because']})"
        for case, findings in load_table(donor).cases.items():
            cases[case] = {column: replace(found, source=f"{found.source}; {note}") for column, found in findings.items()}
    cases |= {case: _findings(case, entry, data) for case, entry in data["cases"].items()}
    return Table(data["soc"], cases, {native: _limits(rows, data) for native, rows in data["limits"].items()})


def _findings(case: str, entry: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Finding]:
    source = entry.get("source") or f"{data['sources']['cases']}, case {case} at opset {entry['opset']}"
    return {column: _finding(entry[column], source) for column in ("fp16", "int8")}


def _finding(row: Mapping[str, Any], source: str) -> Finding:
    return Finding(row["unit"], tuple(row.get("native", ())), row.get("why", ""), source, row.get("float", False))


def _limits(rows: Mapping[str, Mapping[str, Any]], data: Mapping[str, Any]) -> dict[str, Limit]:
    limits = {}
    for quantity, row in rows.items():
        minimum, maximum = row["range"]
        source = data["sources"]["limits"] + (f"; {row['checked']}" if "checked" in row else "")
        limits[quantity] = Limit(minimum, maximum, row.get("multiple_of", 1), source)
    return limits
