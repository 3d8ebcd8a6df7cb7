"""A QDQ model taken apart at the tensors that native operators store, so that each part can be compared alone.

Our part gets the very codes that the vendor's simulator had at its entrance, so that what differs at its end was made there.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rknn_ep_toolkit2.graphs import DEQUANTIZE, QUANTIZE, Array, constant, dequantize_of, readers

FED = "__fed"
"""Ending of the names of the inputs that carry the codes of a stored tensor."""


@dataclass(frozen=True)
class Cut:
    """A stored tensor."""

    tensor: str
    """The float tensor before it is rounded."""
    codes: str
    scale: float
    zero_point: int
    """In the codes' own type."""
    dtype: np.dtype[Any]
    leaves_as: str = ""
    """The model's output that is its dequantised values, where there is one."""

    @property
    def seen(self) -> str:
        """Name under which `expose` gives its dequantised values."""
        return self.leaves_as or f"{self.codes}__seen"

    def to_codes(self, real: Array) -> Array:
        """The codes of dequantised values: these lie on the grid, so this is exact."""
        limits = np.iinfo(self.dtype)
        codes = np.rint(real.astype(np.float64) / self.scale) + self.zero_point
        return np.asarray(np.clip(codes, limits.min, limits.max), self.dtype)


_SUFFIXES = re.compile(r"(?:[-_](?:rs|sw|mm|tp)|#\d+|_exSecondary)+$")
"""What the compiler adds to the name of a tensor that it has reshaped, swapped or transposed."""
_RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})


def find_cuts(model: ir.Model, stored: Collection[str], wanted: Collection[str] | None = None) -> tuple[Cut, ...]:
    """The quantised tensors among `stored`, once where the same codes have several shapes.

    Args:
        model: as the compiler got it.
        stored: names as the compiler has them: the tensor's, its codes' or its real values'.
        wanted: names of codes: others are left out.
    """
    cuts = []
    taken: set[str | None] = set()
    known = {*stored, *(_SUFFIXES.sub("", name) for name in stored)}
    for node in model.graph:
        if node.op_type != QUANTIZE or node.inputs[0] is None:
            continue
        scale, zero = constant(node.inputs[1]), constant(node.inputs[2]) if len(node.inputs) > 2 else None
        back = [reader for reader in readers(node.outputs[0]) if reader.op_type == DEQUANTIZE]
        if scale is None or scale.size != 1 or zero is None or not back:
            continue
        maker = node.inputs[0].producer()
        before = dequantize_of(maker.inputs[0]) if maker is not None and maker.op_type in _RESHAPES else None
        again = before is not None and before.inputs[0] is not None and before.inputs[0].name in taken
        if again or ((wanted is None or node.outputs[0].name in wanted) and _names(node) & known):
            taken.add(node.outputs[0].name)
        if not again and node.outputs[0].name in taken:
            cuts.append(
                Cut(
                    node.inputs[0].name or "",
                    node.outputs[0].name or "",
                    float(scale.item()),
                    int(zero.item()),
                    zero.dtype,
                    next((reader.outputs[0].name or "" for reader in back if reader.outputs[0].is_graph_output()), ""),
                )
            )
    return tuple(cuts)


def _names(down: ir.Node) -> set[str]:
    """Names of the tensor that a QuantizeLinear rounds: the float one's, its codes' and real values', and those of the same in
    another shape.
    """
    found: set[str] = set()
    seen: set[ir.Node] = set()
    waiting = [down]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        source, result = node.inputs[0], node.outputs[0]
        found |= {value.name or "" for value in (source, result) if value is not None}
        waiting += [
            reader for reader in readers(result) if reader.op_type in (QUANTIZE, DEQUANTIZE) or reader.op_type in _RESHAPES
        ]
        maker = source.producer() if source is not None else None
        if maker is not None and (
            maker.op_type in _RESHAPES or (node.op_type != QUANTIZE and maker.op_type in (QUANTIZE, DEQUANTIZE))
        ):
            waiting.append(maker)
    return found


def expose(model: ir.Model, cuts: Collection[Cut]) -> ir.Model:
    """A copy with the dequantised values of each cut as a further output, called `Cut.seen`.

    Each gets a DequantizeLinear of its own: the toolkit fails on some outputs that are also read inside. What leaves the model
    already is not given a second time: it crashes of some that are (SIGSEGV).
    """
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    for cut in cuts:
        if cut.leaves_as:
            continue
        down = values[cut.codes].producer()
        assert down is not None
        seen = ir.Node("", DEQUANTIZE, [values[cut.codes], *down.inputs[1:]], name=cut.seen)
        seen.outputs[0].name, seen.outputs[0].dtype, seen.outputs[0].shape = cut.seen, ir.DataType.FLOAT, values[cut.codes].shape
        copy.graph.insert_after(down, seen)
        copy.graph.outputs.append(seen.outputs[0])
    return copy


def sources(model: ir.Model, known: Collection[Cut], cuts: Collection[Cut]) -> tuple[Cut, ...]:
    """Those of `known` from which `cuts` are computed with no other in between, in the order of `known`."""
    values = {value.name: value for node in model.graph for value in node.outputs}
    by_codes = {cut.codes: cut for cut in known}
    found: set[Cut] = set()
    seen: set[str | None] = set()
    waiting = [values[cut.codes].producer() for cut in cuts if cut.codes in values]
    while waiting:
        node = waiting.pop()
        for value in node.inputs if node is not None else ():
            if value is None or value.name in seen:
                continue
            seen.add(value.name)
            if value.name in by_codes:
                found.add(by_codes[value.name])
            else:
                waiting.append(value.producer())
    return tuple(cut for cut in known if cut in found)


def take_apart(model: ir.Model, fed: Collection[Cut], cuts: Collection[Cut]) -> ir.Model:
    """A copy that computes the codes of `cuts`, in order, from fed codes.

    Inputs: the model's, and `<codes>__fed` for each of `fed`. What `cuts` do not need is left out.
    """
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    outputs = [values[cut.codes] for cut in cuts]
    for cut in fed:
        computed = values[cut.codes]
        given = ir.Value(name=f"{cut.codes}{FED}", shape=computed.shape, type=ir.TensorType(ir.DataType.from_numpy(cut.dtype)))
        for reader, position in list(computed.uses()):
            reader.replace_input_with(position, given)
        copy.graph.inputs.append(given)
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(outputs)
    RemoveUnusedNodesPass()(copy)
    return copy
