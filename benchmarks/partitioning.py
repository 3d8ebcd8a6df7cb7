"""Partitioning graphs of 100, 1,000 and 10,000 nodes: the whole of rknn_ep.partition, and how it grows.

10,000 nodes should take under 2 s and grow linearly: ten times the nodes, ten times the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import rknn_ep
from benchmarks import models
from benchmarks.results import Row
from benchmarks.timing import interleaved

SIZES = (100, 1_000, 10_000)


def run(quick: bool = False) -> Iterator[Row]:
    graphs = {size: models.residual_chain(size).SerializeToString() for size in SIZES}
    work = partial(rknn_ep.partition, target="rk3588", precision="fp16")
    taken = interleaved({str(size): partial(work, graph) for size, graph in graphs.items()}, rounds=3 if quick else 7, warm_up=1)
    before: float | None = None
    for size in SIZES:
        seconds = taken[str(size)]
        goal = "under 2 s" if size == SIZES[-1] else ""
        growth = f"{seconds / before:.1f} times the time of a tenth of the nodes" if before else ""
        yield Row("partitioning", f"{size:,} nodes", "rknn_ep.partition", 1000 * seconds, "ms", goal=goal, note=growth)
        before = seconds
