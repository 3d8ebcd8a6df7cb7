"""Which original nodes each view node stands for.

The passes keep the names of the values that survive. So the originals behind a view node are found by walking the
original graph backwards from the names of the node's outputs until values are met that the view still has, or
that are constant. Originals that nobody meets on such a walk are *folded*: constants and shape computations.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir

from rknn_ep.graph.wiring import Wiring


@dataclass(frozen=True)
class Origins:
    """The outcome of the walk, by index of view node."""

    origins: tuple[frozenset[int], ...]
    bound_to: tuple[int | None, ...]
    """A view node that this one must share a partition with, because an original lies behind both."""
    reached: tuple[frozenset[str], ...]
    """Names of the surviving values at which each walk ended: what the origins need as inputs."""
    folded: frozenset[int]


def trace(original: Wiring, view: ir.Graph, constants: frozenset[str]) -> Origins:
    """Find the originals of every view node, in time linear in both graphs.

    Args:
        original: of the graph as it came in.
        view: the normalised graph, in topological order.
        constants: names of original values that were found to be constant.
    """
    maker, reads = original.maker, original.reads
    nodes = list(view)
    survivors = {value.name for value in view.inputs} | {value.name for node in nodes for value in node.outputs if value.name}
    survivors &= maker.keys() | original.inputs.keys()
    found: list[frozenset[int]] = []
    reached: list[frozenset[str]] = []
    for node in nodes:
        kept = [value.name for value in node.outputs if value.name in survivors and value.name]
        origins, ends = _walk(kept, maker, reads, survivors, constants)
        found.append(origins)
        reached.append(ends)
    bound = _bind(nodes, found)
    for index, leader in _derived(nodes, found).items():
        found[index], reached[index], bound[index] = found[leader], reached[leader], leader
    owned = frozenset().union(*found) if found else frozenset()
    return Origins(tuple(found), tuple(bound), tuple(reached), frozenset(range(len(reads))) - owned)


def _walk(
    start: Iterable[str],
    maker: Mapping[str, int],
    reads: list[tuple[str, ...]],
    survivors: set[str | None],
    constants: frozenset[str],
) -> tuple[frozenset[int], frozenset[str]]:
    origins: set[int] = set()
    ends: set[str] = set()
    pending = [maker[name] for name in start]
    while pending:
        index = pending.pop()
        if index in origins:
            continue
        origins.add(index)
        for name in reads[index]:
            if name in constants:
                continue
            if name in survivors:
                ends.add(name)
            elif name in maker:
                pending.append(maker[name])
    return frozenset(origins), frozenset(ends)


def _derived(nodes: list[ir.Node], found: list[frozenset[int]]) -> dict[int, int]:
    """Nodes without origins of their own -> the node that their results lead to."""
    position = {id(node): index for index, node in enumerate(nodes)}
    leaders: dict[int, int] = {}
    for index in range(len(nodes) - 1, -1, -1):
        if found[index]:
            continue
        users = [position[id(user)] for value in nodes[index].outputs for user, _ in value.uses() if id(user) in position]
        if users:
            leaders[index] = leaders.get(min(users), min(users))
    return leaders


def _bind(nodes: list[ir.Node], found: list[frozenset[int]]) -> list[int | None]:
    """Tie view nodes together that have an original in common."""
    owner: dict[int, int] = {}
    bound: list[int | None] = [None] * len(nodes)
    for index in range(len(nodes) - 1, -1, -1):
        for original in found[index]:
            if original in owner:
                bound[index] = owner[original]
            else:
                owner[original] = index
    return bound
