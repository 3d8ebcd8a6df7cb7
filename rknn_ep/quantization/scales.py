"""From calibrated ranges to the scale of every tensor: who shares, who does not, and which Concat stays float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import QuantizationError
from rknn_ep.quantization.affine import Range, parameters
from rknn_ep.quantization.operators import CLAMPS, Role, constant, relevant_input, role
from rknn_ep.quantization.placement import Placement
from rknn_ep.records import QuantizationType

SHARED_SPAN = 4.0
"""Concat inputs share a scale while the widest spans at most this much more than the narrowest: two bits."""
OUTPUT_SPAN = 4.0
"""An output Concat whose inputs differ by more stays float."""


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
    result = Scales()
    limits = {name: _range_for(name, placement, ranges) for name in placement.observed()}
    makers = {value.name: node for node in model.graph for value in node.outputs}
    parent = {name: name for name in placement.observed()}

    def root(name: str) -> str:
        while name in placement.follows:
            name = placement.follows[name]
        while parent[name] != name:
            name = parent[name]
        return name

    clamps = {name: bound for name in parent if (bound := _clamp(makers.get(name))) is not None}
    for output, inputs in placement.joins:
        members = [*inputs, output]
        names = {member for member in members if constant_of(model, member) is None}
        roots = sorted({root(name) for name in names if name in placement.follows or name in parent})
        spans = {name: limits[root(name)].maximum - limits[root(name)].minimum for name in inputs if name in names}
        widest, narrowest = max(spans.values(), default=0.0), min(spans.values(), default=0.0)
        if widest > OUTPUT_SPAN * narrowest and _only_leaves(model, output):
            result.float_nodes |= _downstream(model, output)
            result.notes.append(
                {
                    "kind": "concat-of-different-ranges",
                    "tensor": output,
                    "ranges": {name: [limits[root(name)].minimum, limits[root(name)].maximum] for name in spans},
                    "text": f"output '{output}' joins tensors whose ranges differ {widest / max(narrowest, 1e-30):.3g} times: "
                    f"it stays float, or the smaller would be rounded away",
                }
            )
            continue
        together = limits[roots[0]]
        for name in roots[1:]:
            together = together.union(limits[name])
        inside = all(together.within(bound) == together for name, bound in clamps.items() if root(name) in roots)
        if widest <= SHARED_SPAN * narrowest and inside:
            for name in roots[1:]:
                parent[name] = roots[0]
            clamped = [bound for name, bound in clamps.items() if root(name) == roots[0]]
            limits[roots[0]] = together if not clamped else together.within(clamped[0])
    for name in placement.scaled:
        result.of[name] = exact_top(parameters(limits[root(name)], grid), limits[root(name)], grid)
    return result


def exact_top(given: tuple[np.float32, int], limits: Range, grid: QuantizationType) -> tuple[np.float32, int]:
    """The same parameters with the scale one float32 step down where its top code would exceed the maximum.

    Clip(0, 6) is then nothing but the limits of the grid, in float32 too; ONNX Runtime and others drop the Clip.
    """
    scale, zero_point = given
    if limits.minimum == 0.0 and not grid.symmetric and limits.maximum > 0.0:
        while np.float32(grid.qmax - grid.qmin) * scale > np.float32(limits.maximum):
            scale = np.nextafter(scale, np.float32(0.0))
    return scale, zero_point


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
