"""Zero padding becomes part of the convolution behind it: ONNX Runtime pads codes only as an island of floats."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from rknn_ep.quantization.operators import constant, pads_with_zero, text_attribute


def fold_pads(model: ir.Model) -> None:
    """Move every Pad of zeros over spatial axes into the Conv nodes that read it, in place."""
    for node in list(model.graph):
        if node.op_type != "Pad" or node.outputs[0].is_graph_output() or not pads_with_zero(node):
            continue
        readers = [reader for reader, _ in node.outputs[0].uses()]
        pads = _spatial_pads(node)
        takes = all(
            reader.op_type == "Conv"
            and reader.inputs[0] is node.outputs[0]
            and list(reader.inputs).count(node.outputs[0]) == 1
            and text_attribute(reader, "auto_pad", "NOTSET") == "NOTSET"
            for reader in readers
        )
        if pads is None or not readers or not takes:
            continue
        for reader in readers:
            attribute = reader.attributes.get("pads")
            own = list(attribute.as_ints()) if attribute is not None else [0] * len(pads)
            reader.attributes["pads"] = ir.AttrInt64s("pads", [a + b for a, b in zip(own, pads, strict=True)])
            reader.replace_input_with(0, node.inputs[0])
        model.graph.remove(node, safe=True)


def _spatial_pads(node: ir.Node) -> list[int] | None:
    """Begins and ends of the spatial axes, or None where the Pad does something else."""
    if text_attribute(node, "mode", "constant") != "constant" or (len(node.inputs) > 3 and node.inputs[3] is not None):
        return None
    array = constant(node.inputs[1]) if len(node.inputs) > 1 else None
    if array is None or array.size < 6:
        return None
    pads: Sequence[int] = array.reshape(-1).tolist()
    rank = len(pads) // 2
    if any(pads[axis] or pads[rank + axis] for axis in (0, 1)) or min(pads) < 0:
        return None
    return [*pads[2:rank], *pads[rank + 2 :]]
