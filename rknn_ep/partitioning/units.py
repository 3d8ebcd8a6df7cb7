"""The graph that is cut into partitions: units of original nodes that go to the NPU whole or not at all.

A unit is a native group with every original node behind it; view nodes that share an original, or that the view binds
together, are one unit. Originals outside any unit stand alone. Originals that folded into constants are *fluid*: they
go with the partition that needs them, when nobody else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rknn_ep.partitioning.stages import on_cycles
from rknn_ep.partitioning.wires import Wires


@dataclass(frozen=True)
class Units:
    """Units by index. The first ones hold view nodes, the others a single original each."""

    nodes: list[tuple[int, ...]]
    """View nodes of a unit; empty for originals that stand alone."""
    origins: list[tuple[int, ...]]
    readers: list[list[int]]
    """Unit -> units that read what it makes, each once, in order."""
    makers: list[list[int]]
    """Unit -> units whose results it reads."""
    fluid: list[bool]
    given_out: frozenset[int]
    """Units that make an output of the graph."""
    of_node: dict[int, int]
    """View node -> its unit; view nodes that cannot go to the NPU have none."""


def build_units(wires: Wires, groups: Sequence[Sequence[int]], supported: Sequence[bool]) -> Units:
    """Put the originals of every supported group into units and connect them.

    Args:
        wires: the view and its original.
        groups: native groups; those with an unsupported node are taken apart.
        supported: whether each view node may go to the NPU.
    """
    loose: set[int] = set()
    while True:
        units = _contract(wires, groups, supported, loose)
        knots = [unit for unit in on_cycles(units.readers) if units.nodes[unit]]
        if not knots:
            return units
        loose.update(node for unit in knots for node in units.nodes[unit])
        if all(len(units.nodes[unit]) == 1 for unit in knots):
            supported = [may and index not in loose for index, may in enumerate(supported)]


def _contract(wires: Wires, groups: Sequence[Sequence[int]], supported: Sequence[bool], loose: set[int]) -> Units:
    view = wires.view
    parent = list(range(len(view.nodes)))

    def find(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for group in groups:
        if all(supported[node] for node in group) and not loose.intersection(group):
            for node in group[1:]:
                parent[find(node)] = find(group[0])
    owner: dict[int, int] = {}
    for view_node in view.nodes:
        if view_node.bound_to is not None:
            parent[find(view_node.index)] = find(view_node.bound_to)
        for origin in view_node.origins:
            if (first := owner.setdefault(origin, view_node.index)) != view_node.index:
                parent[find(view_node.index)] = find(first)
    gathered: dict[int, list[int]] = {}
    for view_node in view.nodes:
        gathered.setdefault(find(view_node.index), []).append(view_node.index)
    nodes: list[tuple[int, ...]] = []
    origins: list[tuple[int, ...]] = []
    for members in gathered.values():
        behind = sorted(frozenset().union(*(view.nodes[node].origins for node in members)))
        if behind and all(supported[node] for node in members):
            nodes.append(tuple(members))
            origins.append(tuple(behind))
    unit_of = {origin: unit for unit, behind in enumerate(origins) for origin in behind}
    for origin in range(len(wires.original.makes)):
        if origin not in unit_of:
            unit_of[origin] = len(nodes)
            nodes.append(())
            origins.append((origin,))
    return _connect(wires, nodes, origins, unit_of)


def _connect(wires: Wires, nodes: list[tuple[int, ...]], origins: list[tuple[int, ...]], unit_of: dict[int, int]) -> Units:
    original, within = wires.original, wires.within
    of_node = {node: unit for unit, members in enumerate(nodes) for node in members}
    targets: list[set[int]] = [set() for _ in nodes]
    for origin, names in enumerate(original.reads):
        for name in names:
            if (maker := original.maker.get(name)) is not None:
                targets[unit_of[maker]].add(unit_of[origin])
    for node, names in enumerate(within.reads):
        for name in names:
            maker = within.maker.get(name)
            if maker in of_node and node in of_node:
                targets[of_node[maker]].add(of_node[node])
    readers = [sorted(found - {unit}) for unit, found in enumerate(targets)]
    makers: list[list[int]] = [[] for _ in nodes]
    for unit, found in enumerate(readers):
        for target in found:
            makers[target].append(unit)
    fluid = [not members and behind[0] in wires.view.folded for members, behind in zip(nodes, origins, strict=True)]
    given_out = frozenset(unit_of[original.maker[name]] for name in original.outputs if name in original.maker)
    return Units(nodes, origins, readers, makers, fluid, given_out, of_node)
