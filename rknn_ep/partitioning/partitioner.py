"""From a view to partitions: judge every node, group what stays whole, cut, give back what does not pay.

    plan(view, target, "int8").partitions

A partition is a set of original nodes, closed (an original is taken with everything that one view node stands for) and
convex (no path leaves it and comes back), so that a host runtime can put one node in its place. See docs/capability.md
for the policy.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING

from rknn_ep.errors import OptionError
from rknn_ep.graph.collector import collector_paused
from rknn_ep.partitioning.borders import Border, border
from rknn_ep.partitioning.capability import judge, stays_float
from rknn_ep.partitioning.checks import Context, boundary, idle, pays, trim
from rknn_ep.partitioning.costs import ELEMENT_BYTES, rates
from rknn_ep.partitioning.cutting import Cut, cut_units
from rknn_ep.partitioning.macs import macs, weight_bytes
from rknn_ep.partitioning.patterns import native_groups
from rknn_ep.partitioning.units import Units, build_units
from rknn_ep.partitioning.wires import Wires
from rknn_ep.records import Capability, Outcome, Target, Verdict

if TYPE_CHECKING:
    from rknn_ep.graph import View


@dataclass(frozen=True)
class Partition:
    """What one compiled artifact will compute."""

    name: str
    """rknn_0, rknn_1, ... in the order in which they can run."""
    nodes: tuple[int, ...]
    """View nodes, in topological order."""
    origins: tuple[int, ...]
    """Original nodes that it replaces, ascending."""
    inputs: tuple[str, ...]
    """Values it computes from, without constants."""
    outputs: tuple[str, ...]
    """Values that others read."""
    groups: tuple[tuple[str, ...], ...]
    """For each native operator, the names of the values it gives out."""
    macs: int
    """Multiply-accumulates of one inference, those of the vendor's CPU side included."""
    weight_bytes: int
    """Bytes of its constants in the plan's precision."""
    border_bytes: int = 0
    """Bytes of its inputs and outputs, in the types they have at the border."""
    ignored_inputs: tuple[str, ...] = ()
    """Values that a host runtime hands over as well because an original reads them, and that nothing here needs."""


@dataclass(frozen=True)
class GivenBack:
    """Nodes that could have gone to the NPU and were given back to the host."""

    nodes: tuple[int, ...]
    """View nodes."""
    reason: str
    """native_cpu: nothing for the NPU, or at a border where it costs nothing; cost; min_partition_macs; boundary."""
    detail: str
    macs: int


@dataclass(frozen=True)
class Plan:
    """Where every node of a model runs."""

    view: View
    target: Target
    precision: str
    verdicts: tuple[Verdict, ...]
    """One for each view node."""
    groups: tuple[tuple[int, ...], ...]
    """View nodes that are one native operator; every node is in exactly one."""
    partitions: tuple[Partition, ...]
    returned: tuple[GivenBack, ...]

    @property
    def float_nodes(self) -> frozenset[int]:
        """View nodes that the table keeps in float16 inside a quantised partition."""
        return frozenset(index for index, verdict in enumerate(self.verdicts) if stays_float(verdict))


def plan(
    view: View,
    target: Target,
    precision: str,
    *,
    exclude_nodes: Collection[str] = frozenset(),
    exclude_ops: Collection[str] = frozenset(),
    min_partition_macs: int | None = None,
    rules: Sequence[Capability] | None = None,
    trim_native: bool = True,
) -> Plan:
    """Partition a normalised model.

    Args:
        view: the normalised model with the way back to the original.
        target: the SoC.
        precision: int8, int16 or fp16.
        exclude_nodes: names of nodes, or of their first outputs, to keep off the NPU.
        exclude_ops: operators to keep off the NPU.
        min_partition_macs: partitions below this are given back; 0 keeps all; None lets the cost model decide.
        rules: capability rules, the first to ask at the front; None asks the shipped tables.
        trim_native: whether what the vendor's CPU side would compute is left to the host at a partition's border.

    Raises:
        OptionError: the target does not compute in this precision.
    """
    if precision not in target.precisions:
        raise OptionError(f"{target.name} does not compute in {precision}: it has {', '.join(target.precisions)}")
    with collector_paused():
        verdicts = judge(view, target, precision, rules=rules, exclude_nodes=exclude_nodes, exclude_ops=exclude_ops)
        return _cut(view, target, precision, verdicts, min_partition_macs=min_partition_macs, trim_native=trim_native)


def _cut(
    view: View,
    target: Target,
    precision: str,
    verdicts: tuple[Verdict, ...],
    *,
    min_partition_macs: int | None,
    trim_native: bool,
) -> Plan:
    wires = Wires.of(view)
    supported = [verdict.outcome is not Outcome.REFUSED for verdict in verdicts]
    groups = _whole(native_groups(view), supported)
    units = build_units(wires, groups, supported)
    groups = _kept(groups, units)
    node_macs = [macs(node.facts) for node in view.nodes]
    context = _context(wires, units, verdicts, node_macs)
    checks = [
        *([partial(trim, context)] if trim_native else []),
        partial(idle, context),
        partial(boundary, context),
        partial(pays, context, rates(target, precision), min_partition_macs),
    ]
    cut = cut_units(units, checks)
    ends = {group[-1] for group in groups}
    partitions = tuple(
        _partition(f"rknn_{number}", members, context, ends, precision) for number, members in enumerate(cut.partitions())
    )
    return Plan(
        view=view,
        target=target,
        precision=precision,
        verdicts=_with_bound(verdicts, units, supported),
        groups=groups,
        partitions=partitions,
        returned=_given_back(cut, node_macs),
    )


def _whole(groups: Sequence[tuple[int, ...]], supported: Sequence[bool]) -> tuple[tuple[int, ...], ...]:
    """Take groups apart that hold a refused node."""
    found: list[tuple[int, ...]] = []
    for group in groups:
        found.extend([group] if all(supported[node] for node in group) else [(node,) for node in group])
    return tuple(found)


def _kept(groups: Sequence[tuple[int, ...]], units: Units) -> tuple[tuple[int, ...], ...]:
    """Take groups apart whose nodes ended in different units."""
    found: list[tuple[int, ...]] = []
    for group in groups:
        together = len({units.of_node.get(node) for node in group}) == 1
        found.extend([group] if together else [(node,) for node in group])
    return tuple(found)


def _with_bound(verdicts: tuple[Verdict, ...], units: Units, supported: Sequence[bool]) -> tuple[Verdict, ...]:
    """Refuse nodes that share an original with a refused one, or tie a knot with others."""
    bound = Verdict(
        Outcome.REFUSED,
        "bound",
        "the runtime's own node that it stands for is needed by a node that is refused",
        source="rknn_ep",
    )
    return tuple(
        replace(bound) if may and index not in units.of_node else verdict
        for index, (verdict, may) in enumerate(zip(verdicts, supported, strict=True))
    )


def _context(wires: Wires, units: Units, verdicts: Sequence[Verdict], node_macs: Sequence[int]) -> Context:
    sizes = {}
    for node in wires.view.nodes:
        for tensor in (*node.facts.inputs, *node.facts.outputs):
            if tensor is not None and tensor.constant is None:
                sizes[tensor.name] = prod(tensor.shape or ()) * ELEMENT_BYTES.get(tensor.dtype, 4)
    on_npu = [verdict.outcome is Outcome.NPU for verdict in verdicts]
    return Context(
        wires=wires,
        units=units,
        sizes=sizes,
        npu=[any(on_npu[node] for node in nodes) for nodes in units.nodes],
        macs=[sum(node_macs[node] for node in nodes if on_npu[node]) for nodes in units.nodes],
        node_macs=node_macs,
    )


def _partition(name: str, members: Sequence[int], context: Context, ends: Collection[int], precision: str) -> Partition:
    units, view_nodes = context.units, context.wires.view.nodes
    nodes = tuple(sorted(node for unit in members for node in units.nodes[unit]))
    origins = tuple(sorted(origin for unit in members for origin in units.origins[unit]))
    crossing: Border = border(context.wires, nodes, set(origins))
    return Partition(
        name=name,
        nodes=nodes,
        origins=origins,
        inputs=crossing.inputs,
        outputs=crossing.outputs,
        groups=tuple(context.wires.within.makes[node] for node in nodes if node in ends),
        macs=sum(context.node_macs[node] for node in nodes),
        weight_bytes=weight_bytes([view_nodes[node].facts for node in nodes], precision),
        border_bytes=sum(context.sizes.get(value, 0) for value in (*crossing.inputs, *crossing.outputs)),
        ignored_inputs=crossing.ignored,
    )


def _given_back(cut: Cut, node_macs: Sequence[int]) -> tuple[GivenBack, ...]:
    found = []
    for departure in cut.departures:
        nodes = tuple(sorted(node for unit in departure.units for node in cut.units.nodes[unit]))
        if nodes:
            found.append(GivenBack(nodes, departure.reason, departure.detail, sum(node_macs[node] for node in nodes)))
    return tuple(found)
