"""From answers to the capability tables that `rknn_ep.partitioning` reads; the format is that of its `tables/README.md`.

Limits are the vendor's (its operator list, with what probe cases showed beyond it): they are taken over from the table that
is there. Cases are what the compiler answered, each with the toolkit's version and the day in the table's `sources`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

from rknn_ep.artifact.atomic import write_atomically
from rknn_ep.errors import RknnEpError
from rknn_ep.records import Target
from rknn_ep_toolkit2.probing.asking import Answer
from rknn_ep_toolkit2.probing.configuration import Configuration
from rknn_ep_toolkit2.probing.survey import Answers

COLUMNS = ("fp16", "int8")
FOLDED_AWAY = {"unit": "npu", "native": []}
STANDING: Mapping[str, Mapping[str, Any]] = {
    "QDQ": {
        "op": "QuantizeLinear, DequantizeLinear",
        "source": "RKNN-Toolkit2 imports QDQ models with their scales (build with do_quantization=False); the pairs become "
        "parameters of the operators around them",
    },
    **{op: {"op": op, "source": "normalisation takes it out before anything is compiled"} for op in ("Identity", "Dropout")},
    "Upsample": {"op": "Upsample", "source": "normalisation writes it as Resize"},
}
"""Cases that cannot be asked by themselves: nothing of them reaches the compiler."""


def shipped(target: str) -> dict[str, Any]:
    """The table of the package, as it stands in the file.

    Raises:
        RknnEpError: there is none.
    """
    try:
        text = files("rknn_ep.partitioning.tables").joinpath(f"{target}.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        raise RknnEpError(f"there is no capability table for {target} to take the limits from") from None
    data: dict[str, Any] = json.loads(text)
    return data


def table(
    target: Target,
    configurations: Mapping[str, Configuration],
    answers: Answers,
    version: str,
    day: date,
    *,
    partial: bool = False,
    before: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The whole table.

    Args:
        target: the SoC.
        configurations: what was asked, by case.
        answers: what the compiler said.
        version: of the toolkit.
        day: of the asking.
        partial: only some of the catalogue was asked; the table keeps its other cases, and says of these where they are from.
        before: the table that is there; its limits are kept. The package's, unless given.
    """
    before = shipped(target.name) if before is None else before
    source = f"one-operator models through RKNN-Toolkit2 {version} for {target.name}, {day.isoformat()}"
    cases: dict[str, Any] = dict(before["cases"]) if partial else {}
    for name, configuration in configurations.items():
        found = {column: answers[name, column] for column in COLUMNS if (name, column) in answers}
        if found:
            asked = {column: _finding(found.get(column), target, column) for column in COLUMNS}
            cases[name] = _described(configuration) | ({"source": f"{source}, case {name}"} if partial else {}) | asked
    cases |= {name: {**entry, "opset": 17, "fp16": FOLDED_AWAY, "int8": FOLDED_AWAY} for name, entry in STANDING.items()}
    if partial:
        return {**before, "cases": dict(sorted(cases.items()))}
    return {
        "format": 1,
        "soc": target.name,
        "sources": {**before["sources"], "cases": source},
        "inherits": None,
        "probed": {"toolkit": version, "day": day.isoformat(), "cases": len(configurations)},
        "limits": before["limits"],
        "cases": dict(sorted(cases.items())),
    }


def same_as(target: Target, donor: str, asked: int, version: str, day: date) -> dict[str, Any]:
    """The table of a SoC whose sample of answers is its donor's, one by one."""
    before = shipped(target.name)
    because = f"the compiler answered {asked} of {asked} sampled questions alike, RKNN-Toolkit2 {version}, {day.isoformat()}"
    return {
        "format": 1,
        "soc": target.name,
        "sources": {**before["sources"], "cases": f"inherited from {donor}"},
        "inherits": {"from": donor, "because": because},
        "probed": {"toolkit": version, "day": day.isoformat(), "sampled": asked},
        "limits": before["limits"],
        "cases": {},
    }


def write(data: Mapping[str, Any], folder: Path) -> Path:
    """Write a table as one line a case, so that changes are read line by line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{data['soc']}.json"
    head = {key: value for key, value in data.items() if key not in ("limits", "cases")}
    parts = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in head.items()]
    for key in ("limits", "cases"):
        rows = [f"    {json.dumps(name)}: {json.dumps(row, ensure_ascii=False)}" for name, row in data[key].items()]
        parts.append(f"  {json.dumps(key)}: {{" + (("\n" + ",\n".join(rows) + "\n  }") if rows else "}"))
    write_atomically(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())
    return path


def _described(configuration: Configuration) -> dict[str, Any]:
    """What was compiled, for a reader of the table; the catalogue has all of it."""
    first = configuration.nodes[0]
    single = len(configuration.nodes) == 1
    described: dict[str, Any] = {"op": first["op"]} if single else {"op": "PATTERN", "nodes": list(configuration.operators)}
    described |= {"opset": configuration.opset, "inputs": dict(configuration.inputs)}
    if single and configuration.constants:
        described["constants"] = {
            name: spec["shape"] if "shape" in spec else _shape(spec["values"]) for name, spec in configuration.constants.items()
        }
    if single and first.get("attributes"):
        described["attributes"] = dict(first["attributes"])
    return described


def _shape(values: Any) -> list[int]:
    return [len(values), *_shape(values[0])] if isinstance(values, list) else []


def _finding(answer: Answer | None, target: Target, column: str) -> dict[str, Any]:
    if answer is None:
        return {"unit": "refused", "why": f"{target.name} has no {'float16' if column == 'fp16' else column}"}
    found: dict[str, Any] = {"unit": "npu" if answer.unit == "folded" else answer.unit}
    if answer.native or not answer.why:
        found["native"] = list(answer.native)
    found |= {key: value for key, value in answer.to_dict().items() if key in ("cpu", "cycles", "kilobytes", "why")}
    if column == "int8" and not answer.quantized:
        found["float"] = True
    return found
