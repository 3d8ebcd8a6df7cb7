"""Partitioning graphs of 100, 1,000 and 10,000 nodes, whole and step by step, and how it grows.

Partitioning 10,000 nodes should take under 2 s and grow linearly: ten times the nodes, ten times the time. `plan` is partitioning
proper (verdicts, patterns, cutting, costs); `rknn_ep.partition` reads the bytes, normalises, plans and reports.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import rknn_ep
from benchmarks import models
from benchmarks.results import Row
from benchmarks.timing import interleaved
from rknn_ep.graph import load_model, normalize
from rknn_ep.partitioning.partitioner import plan
from rknn_ep.plugins import plugins

SIZES = (100, 1_000, 10_000)


def run(quick: bool = False) -> Iterator[Row]:
    target = plugins().target("rk3588")
    steps = {}
    for size in SIZES:
        content = models.residual_chain(size).SerializeToString()
        model = load_model(content)
        steps[f"{size} load"] = partial(load_model, content)
        steps[f"{size} normalize"] = partial(normalize, model)
        steps[f"{size} plan"] = partial(_plan, model, target)
        steps[f"{size} rknn_ep.partition"] = partial(rknn_ep.partition, content, target="rk3588", precision="fp16")
    taken = interleaved(steps, rounds=3 if quick else 7, warm_up=1)
    for size in SIZES:  # planning needs a view that nothing has looked at yet, so its step makes one as well
        taken[f"{size} plan"] -= taken[f"{size} normalize"]
    for name, seconds in taken.items():
        size, step = int(name.split()[0]), name.split()[1]
        before = taken.get(f"{size // 10} {step}")
        growth = f"{seconds / before:.1f} times the time of a tenth of the nodes" if before else ""
        goal = "under 2 s" if size == SIZES[-1] and step in ("plan", "rknn_ep.partition") else ""
        yield Row("partitioning", f"{size:,} nodes", step, 1000 * seconds, "ms", goal=goal, note=growth)


def _plan(model: object, target: object) -> object:
    return plan(normalize(model), target, "fp16")
