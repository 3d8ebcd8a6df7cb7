"""The values that cross a partition's border, as the host runtime will see them.

The runtime takes the original nodes of a partition out of its own graph; what they read from outside are the inputs it
will hand over, what others read of theirs are the outputs it expects. Both must be values that the view has too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rknn_ep.partitioning.wires import Wires


@dataclass(frozen=True)
class Border:
    """A partition's border."""

    inputs: tuple[str, ...]
    """Values that the partition computes from: inputs of the graph in their order, then others by their first use."""
    outputs: tuple[str, ...]
    """Values that others read: outputs of the graph in their order, then others as they are made."""
    ignored: tuple[str, ...]
    """Values that the runtime hands over as well, because a swallowed original reads them; the partition needs none."""
    missing: tuple[str, ...]
    """Values that the view cannot provide or the runtime cannot hand over; empty for a partition that holds."""


def border(wires: Wires, nodes: Sequence[int], origins: Collection[int]) -> Border:
    """Work out the border of a set of view nodes and the originals they replace.

    Args:
        wires: the view and its original.
        nodes: view nodes in topological order.
        origins: originals, a set for quick look-up.
    """
    within, original = wires.within, wires.original
    made = {name for node in nodes for name in within.makes[node]}
    needed = dict.fromkeys(
        name for node in nodes for name in within.reads[node] if name not in made and name not in wires.constants
    )
    handed = dict.fromkeys(
        name
        for origin in sorted(origins)
        for name in original.reads[origin]
        if original.maker.get(name) not in origins and name not in wires.initializers
    )
    expected = {
        name
        for origin in origins
        for name in original.makes[origin]
        if name in original.outputs or any(reader not in origins for reader in original.readers.get(name, ()))
    }
    outputs = [name for node in nodes for name in within.makes[node] if name in expected]
    return Border(
        inputs=tuple(sorted(needed, key=lambda name: original.inputs.get(name, len(original.inputs)))),
        outputs=tuple(sorted(outputs, key=lambda name: original.outputs.get(name, len(original.outputs)))),
        ignored=tuple(name for name in handed if name not in needed),
        missing=tuple(sorted(expected - set(outputs))) + tuple(name for name in needed if name not in handed),
    )
