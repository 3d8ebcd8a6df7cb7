"""From calibrated ranges to the scale of every tensor: who shares, who does not, and which Concat stays float."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.affine import Range, parameters
from rknn_ep.quantization.borders import LEAST_PARTS, average_scale
from rknn_ep.quantization.operators import CLAMPS, GLOBAL_AVERAGES, Role, constant, relevant_input, role
from rknn_ep.quantization.placement import Link, Placement
from rknn_ep.records import QuantizationType

SHARED_SPAN = 4.0
"""Concat inputs share a scale while the widest spans at most this much more than the narrowest: two bits."""
OUTPUT_SPAN = 4.0
"""An output Concat whose inputs differ by more stays float."""
OFFSET_COST = 1.15
"""x + number takes the codes of x while that makes the steps at most this much wider."""
AVERAGE_ROOM = 1.25
"""Averages over whole planes are so few that calibration does not show their range: they get a quarter more at each end, a
third of a bit, on a grid that is several times finer than their input's."""


@dataclass
class Scales:
    """Scale and zero point (signed code) of every scaled tensor."""

    of: dict[str, tuple[np.float32, int]] = field(default_factory=dict)
    float_nodes: set[str] = field(default_factory=set)
    """Integer nodes of the placement that turned out to be better float, by the name of their first output."""
    notes: list[dict[str, Any]] = field(default_factory=list)
    """Warnings for the report."""


def assign(model: ir.Model, placement: Placement, ranges: Mapping[str, Range], grid: QuantizationType) -> Scales:
    """Give every scaled tensor its scale.

    Raises:
        QuantizationError: a tensor that needs a range has none.
    """
    family = _Family(model, placement, ranges, grid)
    family.adopt()
    family.join()
    return family.scales()


class _Family:
    """Tensors that have their codes in common, each a tree with the tensor at its root that the range belongs to."""

    def __init__(self, model: ir.Model, placement: Placement, ranges: Mapping[str, Range], grid: QuantizationType) -> None:
        self._model, self._placement, self._grid = model, placement, grid
        self._limits = {name: _range_for(name, placement, ranges) for name in placement.observed()} | placement.fixed
        self._parent = dict(placement.follows)
        self._averages = {
            node.outputs[0].name or "": node
            for node in model.graph
            if node.op_type in GLOBAL_AVERAGES and node.outputs[0].name in self._limits
        }
        for name in self._averages:
            self._limits[name] = self._limits[name].times(AVERAGE_ROOM)
        self._offsets: dict[str, float] = {}
        """Root -> the offset, in its own units, that must be a whole number of steps."""
        self._chosen: dict[str, tuple[np.float32, int]] = {}
        """Root -> its scale and zero point, once somebody asked for them."""
        self._result = Scales()
        self._values = {value.name: value for node in model.graph for value in node.outputs}
        makers = {name: value.producer() for name, value in self._values.items()}
        self._clamps = {name: bound for name in self._limits if (bound := _clamp(makers.get(name))) is not None}

    def _root(self, name: str) -> tuple[str, float, float]:
        """(root, factor, offset): the tensor's value is factor * root's value + offset."""
        factor, offset = 1.0, 0.0
        while name in self._parent:
            link = self._parent[name]
            offset += factor * link.offset
            factor *= link.factor
            name = link.source
        return name, factor, offset

    def adopt(self) -> None:
        """Let tensors take the codes of their source where that costs the source little."""
        for name, link in self._placement.may_follow.items():
            root, factor, offset = self._root(link.source)
            limits = self._limits[root]
            offset = (offset + link.offset) / factor
            wider = limits.union(Range(-offset, -offset))
            scale = float(parameters(wider, self._grid)[0])
            steps = math.floor(abs(offset) / scale)
            spent = (wider.maximum - wider.minimum) / max(limits.maximum - limits.minimum, 1e-30)
            spent *= abs(offset) / max(steps, 1) / scale
            if (
                steps
                and spent <= OFFSET_COST
                and root not in self._offsets
                and root not in self._clamps
                and not self._grid.symmetric
            ):
                self._offsets[root] = offset
                self._limits[root] = wider
                self._parent[name] = link

    def join(self) -> None:
        """Let the inputs of a Concat share one scale with its output where they are of a kind."""
        for output, inputs in self._placement.joins:
            members = [name for name in (*inputs, output) if constant_of(self._model, name) is None]
            found = {name: self._root(name) for name in members}
            spans = {
                name: (self._limits[root].maximum - self._limits[root].minimum) * factor
                for name, (root, factor, _) in found.items()
                if name != output
            }
            widest, narrowest = max(spans.values(), default=0.0), min(spans.values(), default=0.0)
            if widest > OUTPUT_SPAN * narrowest and _only_leaves(self._model, output):
                self._leave_float(output, spans)
                continue
            # An average leads, whose scale then keeps it off borders.
            roots = sorted({root for root, _, _ in found.values()}, key=lambda root: (root not in self._averages, root))
            # An average is on its input's scale but for a little that keeps it off borders: then the input moves instead.
            factors = {root: factor for root, factor, _ in found.values()}
            plain = all(
                1.0 <= factor == factors[root] <= 1.0 + 1.0 / LEAST_PARTS and offset == 0.0
                for root, factor, offset in found.values()
            )
            together = self._limits[roots[0]].times(factors[roots[0]])
            for root in roots[1:]:
                together = together.union(self._limits[root].times(factors[root]))
            bounds = [bound for name, bound in self._clamps.items() if self._root(name)[0] in roots]
            if (
                not plain
                or any(root in self._offsets for root in roots)
                or widest > SHARED_SPAN * narrowest
                or any(together.within(bound) != together for bound in bounds)
            ):
                self._round_once(output, inputs)
                continue
            for root in roots[1:]:
                self._parent[root] = Link(roots[0], factors[roots[0]] / factors[root])
            self._limits[roots[0]] = together.times(1.0 / factors[roots[0]])

    def _round_once(self, output: str, inputs: Sequence[str]) -> None:
        """Put inputs that nothing but this Concat reads on its output's scale: there they end in any case, rounded twice.

        Compilers write such tensors straight into the joined one (RKNN-Toolkit2 2.5.0 for rk3576).
        """
        root, factor, offset = self._root(output)
        sources = {link.source for link in self._parent.values()}
        if (factor, offset) != (1.0, 0.0) or root in self._offsets:
            return
        for name in inputs:
            value = self._values.get(name)
            alone = value is not None and len(value.uses()) == 1 and not value.is_graph_output()
            if alone and name != root and name not in self._parent and name not in sources and name not in self._clamps:
                self._parent[name] = Link(root)

    def _leave_float(self, output: str, spans: Mapping[str, float]) -> None:
        self._result.float_nodes |= _downstream(self._model, output)
        ratio = max(spans.values()) / max(min(spans.values()), 1e-30)
        self._result.notes.append(
            {
                "kind": "concat-of-different-ranges",
                "tensor": output,
                "spans": dict(spans),
                "text": f"output '{output}' joins tensors whose ranges differ {ratio:.3g} times: "
                f"it stays float, or the smaller would be rounded away",
            }
        )

    def scales(self) -> Scales:
        """Scale and zero point of every scaled tensor, from its root's."""
        for name in self._placement.scaled:
            root, factor, offset = self._root(name)
            scale, zero_point = self._parameters(root)
            moved = zero_point - round(offset / (factor * float(scale)))
            self._result.of[name] = (np.float32(factor * float(scale)), max(self._grid.qmin, min(self._grid.qmax, moved)))
        return self._result

    def _parameters(self, root: str) -> tuple[np.float32, int]:
        """Scale and zero point of a root, the same for everyone who asks."""
        if root not in self._chosen:
            limits = self._limits[root]
            scale, zero_point = exact_top(parameters(limits, self._grid), limits, self._grid)
            if root in self._offsets:
                step = abs(self._offsets[root])
                scale = np.float32(step / math.floor(step / float(scale)))
                self._chosen[root] = scale, self._grid.qmin - round(limits.minimum / float(scale))
            else:
                # Known from here on: two averages may be each of the other's family, and then one of them is asked for twice.
                scale, zero_point = self._chosen[root] = off_centre((scale, zero_point), limits, self._grid)
                self._chosen[root] = self._off_borders(root, scale), zero_point
        return self._chosen[root]

    def _off_borders(self, root: str, scale: np.float32) -> np.float32:
        """The scale, a little wider where it is that of an average whose input has another."""
        node = self._averages.get(root)
        source = node.inputs[0] if node is not None else None
        if node is None or source is None or source.name is None:
            return scale
        of_source, factor, _ = self._root(source.name)
        if of_source == root or of_source not in self._limits:
            return scale
        return average_scale(node, factor * float(self._parameters(of_source)[0]), float(scale))


def exact_top(given: tuple[np.float32, int], limits: Range, grid: QuantizationType) -> tuple[np.float32, int]:
    """The same parameters with the scale one float32 step down where its top code would exceed the maximum.

    Clip(0, 6) is then nothing but the limits of the grid, in float32 too; ONNX Runtime and others drop the Clip.
    """
    scale, zero_point = given
    if limits.minimum == 0.0 and not grid.symmetric and limits.maximum > 0.0:
        while np.float32(grid.qmax - grid.qmin) * scale > np.float32(limits.maximum):
            scale = np.nextafter(scale, np.float32(0.0))
    return scale, zero_point


def off_centre(given: tuple[np.float32, int], limits: Range, grid: QuantizationType) -> tuple[np.float32, int]:
    """The same parameters, but where an asymmetric 8-bit grid has zero point 0: then -1, and a scale that still covers all.

    RKNN-Toolkit2 takes a tensor with zero point 0 for a symmetric one and replaces its scale by 255/254 of it (measured with
    2.5.0, for signed codes; ONNX has 128 there). Half a step of the range is cheaper than other numbers on the board.
    """
    if grid.symmetric or grid.bits != 8 or given[1] != 0:
        return given
    low, high = limits.with_zero().minimum, limits.with_zero().maximum
    return np.float32(max(-low / (-grid.qmin - 1), high / (grid.qmax + 1))), -1


def constant_of(model: ir.Model, name: str) -> Any:
    """The array of the initializer called `name`, or None."""
    value = model.graph.initializers.get(name)
    return constant(value)


def _range_for(name: str, placement: Placement, ranges: Mapping[str, Range]) -> Range:
    if name not in ranges:
        raise QuantizationError(f"tensor '{name}' was not calibrated", remedy="Calibrate what placement.observed() names.")
    found = ranges[name].with_zero()
    return found.within(placement.bounds[name]) if name in placement.bounds else found


def _clamp(node: ir.Node | None) -> Range | None:
    """The limits that a tensor keeps whatever its grid, because its maker is a Relu or Clip."""
    if node is None or node.op_type not in CLAMPS:
        return None
    return relevant_input(node)


def _only_leaves(model: ir.Model, name: str) -> bool:
    """Whether a tensor goes nowhere but out of the model, moved perhaps."""
    value = next(value for node in model.graph for value in node.outputs if value.name == name)
    if not value.uses():
        return True
    return all(
        role(reader) is Role.FLOAT
        or (role(reader) in (Role.FOLLOW, Role.JOIN) and _only_leaves(model, reader.outputs[0].name or ""))
        for reader, _ in value.uses()
    )


def _downstream(model: ir.Model, name: str) -> set[str]:
    """The node that makes a tensor and the movers behind it, by the name of their first output."""
    node = next(node for node in model.graph for value in node.outputs if value.name == name)
    found = {node.outputs[0].name or ""}
    for output in node.outputs:
        for reader, _ in output.uses():
            if role(reader) in (Role.FOLLOW, Role.JOIN):
                found |= _downstream(model, reader.outputs[0].name or "")
    return found
