"""What must not stay in a partition: CPU-side work at its border, parts without the NPU, broken borders, losses.

Each check looks at the current cut and lets units go; the cutting then starts another round.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rknn_ep.partitioning.borders import border
from rknn_ep.partitioning.costs import CALL_SECONDS, Rates
from rknn_ep.partitioning.cutting import Cut
from rknn_ep.partitioning.units import Units
from rknn_ep.partitioning.wires import Wires


@dataclass(frozen=True)
class Context:
    """What the checks know beside the cut."""

    wires: Wires
    units: Units
    sizes: dict[str, int]
    """Value of the view -> bytes."""
    npu: Sequence[bool]
    """Unit -> whether the NPU computes any of it."""
    macs: Sequence[int]
    """Unit -> multiply-accumulates on the NPU."""
    node_macs: Sequence[int]
    """View node -> multiply-accumulates anywhere."""

    def reads(self, unit: int) -> list[str]:
        """Values that a unit reads and does not make, without constants."""
        made = set(self.makes(unit))
        names = (name for node in self.units.nodes[unit] for name in self.wires.within.reads[node])
        return list(dict.fromkeys(name for name in names if name not in made and name not in self.wires.constants))

    def makes(self, unit: int) -> list[str]:
        """Values that a unit makes."""
        return [name for node in self.units.nodes[unit] for name in self.wires.within.makes[node]]

    def readers(self, name: str) -> set[int]:
        """Units that read a value; -1 for nodes without one."""
        return {self.units.of_node.get(node, -1) for node in self.wires.within.readers.get(name, ())}


def trim(context: Context, cut: Cut) -> bool:
    """Let CPU-side units at a border go, unless more bytes would cross it then.

    The vendor runtime and the host's runtime compute them on the same cores; outside, they cost no extra copy. A unit
    that leaves makes it cheaper for its neighbours, and for others that read what it reads: these are asked again, so
    that the order does not count.
    """
    waiting = [unit for unit in cut.order if cut.supported[unit] and not context.npu[unit] and context.units.nodes[unit]]
    let_go = False
    queued = set(waiting)
    while waiting:
        unit = waiting.pop()
        queued.discard(unit)
        siblings = {other for name in context.reads(unit) for other in context.readers(name)} - {-1, unit}
        neighbours = [
            other
            for other in dict.fromkeys((*context.units.makers[unit], *context.units.readers[unit], *sorted(siblings)))
            if cut.supported[other] and cut.level[other] == cut.level[unit]
        ]
        if _more_bytes_without(context, cut, unit) > 0:
            continue
        cut.let_go([unit], "native_cpu", "at a partition's border, where the host computes it as well and nothing more is copied")
        let_go = True
        fresh = [other for other in neighbours if not context.npu[other] and context.units.nodes[other] and other not in queued]
        waiting.extend(fresh)
        queued.update(fresh)
    return let_go


def _more_bytes_without(context: Context, cut: Cut, unit: int) -> int:
    """Bytes that cross the border more when a unit at the border leaves; 1 for units that are not at a border."""
    level = cut.level[unit]

    def inside(other: int) -> bool:
        return other >= 0 and other != unit and cut.supported[other] and cut.level[other] == level

    fed = any(inside(maker) for maker in context.units.makers[unit])
    read = any(inside(reader) for reader in context.units.readers[unit])
    if fed and read:
        return 1
    more = 0
    for name in context.reads(unit):
        size = context.sizes.get(name, 0)
        maker = context.wires.within.maker.get(name)
        made_inside = maker is not None and inside(context.units.of_node.get(maker, -1))
        others = context.readers(name) - {unit}
        if made_inside:
            already = name in context.wires.within.outputs or any(not inside(other) for other in others)
            more += 0 if already else size
        elif not any(inside(other) for other in others):
            more -= size
    for name in context.makes(unit):
        size = context.sizes.get(name, 0)
        readers = context.readers(name) - {unit}
        if any(inside(other) for other in readers):
            more += size
        if name in context.wires.within.outputs or any(not inside(other) for other in readers):
            more -= size
    return more


def idle(context: Context, cut: Cut) -> bool:
    """Let connected parts go that give the NPU nothing to do."""
    let_go = False
    for part in cut.parts():
        if not any(context.npu[unit] for unit in part) and any(context.units.nodes[unit] for unit in part):
            cut.let_go(part, "native_cpu", "the NPU would compute none of it")
            let_go = True
    return let_go


def boundary(context: Context, cut: Cut) -> bool:
    """Let units go whose border values the view or the runtime does not have."""
    units, let_go = context.units, False
    for members in cut.partitions():
        nodes = sorted(node for unit in members for node in units.nodes[unit])
        origins = {origin for unit in members for origin in units.origins[unit]}
        missing = border(context.wires, nodes, origins).missing
        if not missing:
            continue
        wanted = set(missing)
        culprits = [
            unit
            for unit in members
            if wanted.intersection(name for origin in units.origins[unit] for name in context.wires.original.makes[origin])
            or wanted.intersection(name for node in units.nodes[unit] for name in context.wires.within.reads[node])
        ]
        cut.let_go(culprits, "boundary", f"'{missing[0]}' would cross the border, and only one side knows it")
        let_go = True
    return let_go


def pays(context: Context, rates: Rates, min_partition_macs: int | None, cut: Cut) -> bool:
    """Let islands go that cost more at the border than they save, or that are below the user's bound."""
    if min_partition_macs is not None:
        return _below(context, min_partition_macs, cut)
    let_go = False
    for part in cut.parts():
        work, size = _work(context, part), _border_bytes(context, part)
        if rates.saved(work) < rates.border(size):
            cut.let_go(part, "cost", _loss(rates, work, size, 0.0))
            let_go = True
    if let_go:
        return True
    for members in cut.partitions():
        work, size = _work(context, members), _border_bytes(context, members)
        if rates.saved(work) < rates.border(size) + CALL_SECONDS:
            cut.let_go(members, "cost", _loss(rates, work, size, CALL_SECONDS))
            let_go = True
    return let_go


def _below(context: Context, bound: int, cut: Cut) -> bool:
    let_go = False
    for members in cut.partitions():
        if (work := _work(context, members)) < bound:
            cut.let_go(members, "min_partition_macs", f"{work:,} MACs, and the option asks for {bound:,}")
            let_go = True
    return let_go


def _work(context: Context, members: Sequence[int]) -> int:
    return sum(context.macs[unit] for unit in members)


def _border_bytes(context: Context, members: Sequence[int]) -> int:
    wiring = context.wires.within
    nodes = {node for unit in members for node in context.units.nodes[unit]}
    made = {name for node in nodes for name in wiring.makes[node]}
    crossing = {name for node in nodes for name in wiring.reads[node]} - made - context.wires.constants
    crossing |= {name for name in made if name in wiring.outputs or not nodes.issuperset(wiring.readers.get(name, ()))}
    return sum(context.sizes.get(name, 0) for name in crossing)


def _loss(rates: Rates, work: int, size: int, call: float) -> str:
    saved, cost = rates.saved(work) * 1e6, (rates.border(size) + call) * 1e6
    return f"{work:,} MACs save {saved:.0f} us, {size:,} bytes at the border{' and the call' if call else ''} cost {cost:.0f} us"
