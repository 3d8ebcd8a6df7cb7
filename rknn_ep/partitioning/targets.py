"""The SoCs of the shipped tables as `records.Target`, and the figures that the cost model needs of each.

Data: `tables/targets.json`. Nothing here knows a graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from rknn_ep.records import Target


@dataclass(frozen=True)
class Throughput:
    """What the cost model knows of a SoC. All figures are estimates; `npu` and `cpu` say what they stand on."""

    npu_int8_gmacs: float
    """Sustained int8 multiply-accumulates of one NPU core, in 10^9 a second."""
    cpu_gmacs: float
    """Float32 multiply-accumulates of the host's CPU, in 10^9 a second."""
    border_gbps: float
    """Bytes that cross a partition's border, copied and converted, in 10^9 a second."""
    npu: str = ""
    cpu: str = ""


def all_targets() -> Iterator[Target]:
    """The eleven SoCs of the shipped tables, by name."""
    for name, figures in sorted(_data()["targets"].items()):
        lists = {key: tuple(value) for key, value in figures.items() if isinstance(value, list)}
        yield Target(name=name, **{**figures, **lists})


def throughput(target: Target) -> Throughput:
    """The cost model's figures for `target`; a target of a plugin gets those of its capability table, else of RK3566."""
    costs = _data()["costs"]
    known = costs.get(target.name) or costs.get(target.capability_table) or costs["rk3566"]
    return Throughput(**known)


@cache
def _data() -> dict[str, Any]:
    text = files("rknn_ep.partitioning.tables").joinpath("targets.json").read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text)
    return data
