"""Convex, acyclic, maximal partitions of a graph of units, in linear time.

Give every unit a level: along any path, the level rises by one each time the path leaves supported units for an
unsupported one. All supported units of one level form one partition.

- Convex and acyclic: a path that leaves a partition runs through an unsupported unit, whose level is higher, and
  levels never fall along a path; so it cannot come back to the partition it left, nor to an earlier one.
- Maximal: each unit of level k+1 lies on a path from a unit of level k through an unsupported one, so no two
  partitions can be joined. Their number is the least possible: that path forces as many cuts.
- Deterministic: a level depends on the graph alone, not on names or the order of nodes.

A part of a partition that is connected inside and is only read by later partitions moves to the first of them, which
saves a border without adding one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence


def topological_order(readers: Sequence[Sequence[int]]) -> list[int]:
    """Units in topological order; units on a cycle, and what lies behind them, are left out.

    Args:
        readers: unit -> units that read what it makes, each once.
    """
    waiting = [0] * len(readers)
    for targets in readers:
        for target in targets:
            waiting[target] += 1
    ready = deque(unit for unit, count in enumerate(waiting) if count == 0)
    order = []
    while ready:
        unit = ready.popleft()
        order.append(unit)
        for target in readers[unit]:
            waiting[target] -= 1
            if waiting[target] == 0:
                ready.append(target)
    return order


def levels(order: Sequence[int], readers: Sequence[Sequence[int]], supported: Sequence[bool]) -> list[int]:
    """The level of every unit, as early as its predecessors allow."""
    level = [0] * len(readers)
    for unit in order:
        for target in readers[unit]:
            rise = 1 if supported[unit] and not supported[target] else 0
            level[target] = max(level[target], level[unit] + rise)
    return level


def components(level: Sequence[int], readers: Sequence[Sequence[int]], supported: Sequence[bool]) -> list[int]:
    """Unit -> a representative of the connected part of its partition (itself where it is unsupported)."""
    parent = list(range(len(level)))

    def find(unit: int) -> int:
        while parent[unit] != unit:
            parent[unit] = parent[parent[unit]]
            unit = parent[unit]
        return unit

    for unit, targets in enumerate(readers):
        for target in targets:
            if supported[unit] and supported[target] and level[unit] == level[target]:
                parent[find(target)] = find(unit)
    return [find(unit) for unit in range(len(level))]


def sink(level: list[int], readers: Sequence[Sequence[int]], supported: Sequence[bool]) -> None:
    """Move connected parts to the later partition that reads them, where nothing else needs them sooner."""
    part = components(level, readers, supported)
    members: dict[int, list[int]] = {}
    for unit, representative in enumerate(part):
        if supported[unit]:
            members.setdefault(representative, []).append(unit)
    for representative in sorted(members, key=lambda one: -level[one]):
        units = members[representative]
        latest = _latest(units, part, level, readers, supported)
        if latest is not None and latest > level[representative]:
            for unit in units:
                level[unit] = latest


def _latest(
    units: Sequence[int], part: Sequence[int], level: Sequence[int], readers: Sequence[Sequence[int]], supported: Sequence[bool]
) -> int | None:
    """The level of the first partition that reads a connected part, unless an unsupported unit needs it before."""
    first: int | None = None
    bound: int | None = None
    for unit in units:
        for target in readers[unit]:
            if not supported[target]:
                bound = level[target] - 1 if bound is None else min(bound, level[target] - 1)
            elif part[target] != part[unit]:
                first = level[target] if first is None else min(first, level[target])
    return first if first is not None and (bound is None or first <= bound) else None


def on_cycles(readers: Sequence[Sequence[int]]) -> list[int]:
    """Units that lie on a cycle."""
    return [] if len(topological_order(readers)) == len(readers) else _knots(readers)


def _knots(readers: Sequence[Sequence[int]]) -> list[int]:
    """Strongly connected sets of more than one unit (Tarjan's algorithm, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[int] = []
    for root in range(len(readers)):
        if root in index:
            continue
        work = [(root, 0)]
        while work:
            unit, position = work.pop()
            if position == 0:
                index[unit] = low[unit] = len(index)
                stack.append(unit)
                on_stack.add(unit)
            for place in range(position, len(readers[unit])):
                target = readers[unit][place]
                if target not in index:
                    work.append((unit, place + 1))
                    work.append((target, 0))
                    break
                if target in on_stack:
                    low[unit] = min(low[unit], index[target])
            else:
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[unit])
                if low[unit] == index[unit]:
                    knot: list[int] = []
                    while not knot or knot[-1] != unit:
                        knot.append(stack.pop())
                        on_stack.discard(knot[-1])
                    if len(knot) > 1:
                        found.extend(knot)
    return found
