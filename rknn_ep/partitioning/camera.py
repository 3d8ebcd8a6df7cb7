"""Pictures as cameras give them: a uint8 NHWC input whose Transpose and Cast the NPU's runtime does itself.

    images uint8 [N,H,W,C] -> Transpose (0,3,1,2) -> Cast to FLOAT -> pixels [N,C,H,W], 0..255

`rknn_inputs_set` with RKNN_TENSOR_UINT8, RKNN_TENSOR_NHWC and pass_through=0 takes exactly that, and so does zero-copy memory of
that type. The two nodes (in either order) therefore belong to the partition that reads the pixels, and are no part of what
is compiled: the compiled model begins at the pixels, and its border is the picture (`native.txt`: border=UINT8_NHWC).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from rknn_ep.records import Outcome, Verdict

if TYPE_CHECKING:
    from rknn_ep.graph import View

CHANNELS = (1, 3, 4)
"""What the runtime takes as pictures: their native layout is NHWC."""
CHANNELS_FIRST = [0, 3, 1, 2]
VERDICT = Verdict(
    Outcome.NPU,
    detail="the runtime takes the picture as it is",
    source="rknn_inputs_set of RKNN_TENSOR_UINT8, NHWC, pass_through=0: RKNPU API Reference RKNNRT V2.3.2",
)


@dataclass(frozen=True)
class Camera:
    """A picture that goes in as it is."""

    picture: str
    """The graph's input: uint8 [N,H,W,C]."""
    pixels: str
    """What the two nodes make of it: float32 [N,C,H,W], 0..255."""
    nodes: tuple[int, int]
    """View nodes: Transpose and Cast in their order."""


def find_cameras(view: View) -> tuple[Camera, ...]:
    """The graph's inputs that go through a Transpose to NCHW and a Cast to FLOAT, and nowhere else."""
    places = {node.node: node.index for node in view.nodes}
    found = []
    for value in view.model.graph.inputs:
        shape = value.shape
        if value.dtype != ir.DataType.UINT8 or shape is None or len(shape) != 4 or shape[3] not in CHANNELS:
            continue
        first = _only_reader(value)
        second = _only_reader(first.outputs[0]) if first is not None else None
        if first is None or second is None or {first.op_type, second.op_type} != {"Transpose", "Cast"}:
            continue
        transpose, cast = (first, second) if first.op_type == "Transpose" else (second, first)
        pixels = second.outputs[0]
        if (
            list(transpose.attributes["perm"].as_ints() if "perm" in transpose.attributes else []) == CHANNELS_FIRST
            and cast.attributes["to"].as_int() == ir.DataType.FLOAT
            and not pixels.is_graph_output()
        ):
            found.append(Camera(value.name or "", pixels.name or "", (places[first], places[second])))
    return tuple(found)


def _only_reader(value: ir.Value) -> ir.Node | None:
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() and uses[0].node.domain in ("", "ai.onnx") else None
