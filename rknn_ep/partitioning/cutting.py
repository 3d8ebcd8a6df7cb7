"""Cuts the graph of units into partitions, and lets go of what should not be in one.

Works on indices only. Each round assigns levels (`stages`), then asks checks which units must leave: CPU-side units at
a border, parts without anything for the NPU, islands that cost more than they save. Whatever leaves is unsupported
from then on, and the next round starts; the last round changes nothing, so its partitions are maximal for what stayed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rknn_ep.partitioning.stages import components, levels, sink, topological_order
from rknn_ep.partitioning.units import Units


@dataclass(frozen=True)
class Departure:
    """Units that left, and why."""

    units: tuple[int, ...]
    reason: str
    """native_cpu, cost, min_partition_macs or boundary."""
    detail: str


@dataclass
class Cut:
    """The state of the cutting."""

    units: Units
    order: list[int]
    supported: list[bool]
    """Which units may be in a partition; fluid ones are until they have to stay outside."""
    level: list[int] = field(default_factory=list)
    departures: list[Departure] = field(default_factory=list)

    def partitions(self) -> list[list[int]]:
        """The units of each partition in topological order, the earliest partition first."""
        return self._gather(self.level)

    def parts(self) -> list[list[int]]:
        """The connected parts of the partitions."""
        return self._gather(components(self.level, self.units.readers, self.supported))

    def _gather(self, key: Sequence[int]) -> list[list[int]]:
        found: dict[int, list[int]] = {}
        for unit in self.order:
            if self.supported[unit]:
                found.setdefault(key[unit], []).append(unit)
        return [found[one] for one in sorted(found, key=lambda one: (self.level[found[one][0]], found[one][0]))]

    def let_go(self, units: Sequence[int], reason: str, detail: str) -> None:
        """Take units out of their partition for good."""
        self.departures.append(Departure(tuple(units), reason, detail))
        for unit in units:
            self.supported[unit] = False


Check = Callable[[Cut], bool]
"""Lets units go that must not stay; whether it did."""


def cut_units(units: Units, checks: Sequence[Check]) -> Cut:
    """Assign every unit to a partition or to none; each check is asked once those before it are content."""
    order = topological_order(units.readers)
    static = _static(units, order)
    supported = [
        bool(nodes) or (fluid and not still) for nodes, fluid, still in zip(units.nodes, units.fluid, static, strict=True)
    ]
    cut = Cut(units, order, supported)
    while True:
        cut.level = levels(order, units.readers, cut.supported)
        sink(cut.level, units.readers, cut.supported)
        if _release_fluid(cut) or any(check(cut) for check in checks):
            continue
        _swallow_static(cut, static)
        return cut


def _static(units: Units, order: Sequence[int]) -> list[bool]:
    """Fluid units that depend on nothing but constants: wherever they are, nothing has to wait for them."""
    static = [False] * len(units.nodes)
    for unit in order:
        static[unit] = units.fluid[unit] and all(static[maker] for maker in units.makers[unit])
    return static


def _release_fluid(cut: Cut) -> bool:
    """Leave fluid units outside where not all their readers share one partition; whether levels must be redone.

    One that stays outside while the same partition lies before and behind it would make that partition wait for
    itself: as an unsupported unit it forces a cut in the next round.
    """
    units = cut.units
    outside: list[int] = []
    for unit in reversed(cut.order):
        if not (units.fluid[unit] and cut.supported[unit]):
            continue
        homes = {cut.level[target] if cut.supported[target] else -1 for target in units.readers[unit]}
        if len(homes) == 1 and min(homes) >= 0 and unit not in units.given_out:
            cut.level[unit] = min(homes)
        else:
            cut.supported[unit] = False
            outside.append(unit)
    redo = False
    for unit in reversed(outside):
        before = [cut.level[maker] + cut.supported[maker] for maker in units.makers[unit]]
        cut.level[unit] = max(before, default=0)
        behind = [cut.level[target] for target in units.readers[unit] if cut.supported[target]]
        redo |= bool(behind) and min(behind) < cut.level[unit]
    return redo


def _swallow_static(cut: Cut, static: Sequence[bool]) -> None:
    """Constants that one partition alone reads go with it."""
    units = cut.units
    for unit in reversed(cut.order):
        if not static[unit] or unit in units.given_out or not units.readers[unit]:
            continue
        homes = {cut.level[target] if cut.supported[target] else -1 for target in units.readers[unit]}
        if len(homes) == 1 and min(homes) >= 0:
            cut.supported[unit], cut.level[unit] = True, min(homes)
