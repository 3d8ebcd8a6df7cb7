"""The copy of a partition that the vendor's toolkit gets: the same arithmetic, written as its import wants it.

Each step is here because of something that was measured with RKNN-Toolkit2 2.5.0; docs/vendor-compiler.md has the list.
The partition itself, the simulation and what users see stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rknn_ep.errors import CompileError
from rknn_ep.graph.inference import infer_shapes
from rknn_ep_toolkit2.graphs import PRODUCTS, QUANTIZE, Array, constant, dequantize_of, readers
from rknn_ep_toolkit2.linear import gemms
from rknn_ep_toolkit2.lowering import lower
from rknn_ep_toolkit2.weights import float_unrounded, keep_scales

SMALLEST_OPSET, LARGEST_OPSET = 10, 19
LARGEST_IR_VERSION = 10


@dataclass(frozen=True)
class VendorCopy:
    """What is handed to the toolkit."""

    content: bytes
    """Serialised ONNX."""
    parameters: Mapping[str, tuple[float, int]]
    """Activation tensor -> its scale and zero point in int8 codes, as we want them kept."""
    weights: Mapping[str, Array]
    """Weight (the output of its DequantizeLinear) -> its scales."""
    quantized: bool
    """Whether it has QuantizeLinear nodes: then the toolkit imports, and quantises nothing."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """JSON-like: what was rewritten, for the report."""


def vendor_copy(content: bytes, origin: str) -> VendorCopy:
    """Write a partition (QDQ, or float) as the toolkit imports it; `origin` is how errors name it.

    The simulation of a bundle will do as well: its float16 borders are taken out again.

    Raises:
        CompileError: it is no valid model, or its opset is not one that the toolkit reads.
    """
    try:
        model = ir.from_proto(onnx.load_model_from_string(content))
        return copy_of(model, origin)
    except CompileError:
        raise
    except Exception as error:
        raise CompileError(f"{origin} is not a valid ONNX model: {error}") from error


def copy_of(model: ir.Model, origin: str) -> VendorCopy:
    """As `vendor_copy`, from a model in memory, which is changed."""
    _check_opset(model, origin)
    drop_float16_borders(model)
    lowered = lower(model)
    infer_shapes(model)
    linear = gemms(model)
    unrounded = float_unrounded(model)
    left = keep_scales(model)
    RemoveUnusedNodesPass()(model)
    _name_nodes(model)
    infer_shapes(model)
    model.ir_version = min(model.ir_version or LARGEST_IR_VERSION, LARGEST_IR_VERSION)
    done = {"written_as": lowered, "gemms": linear, "float_products": unrounded, "requantized_weights": left}
    return VendorCopy(
        content=ir.to_proto(model).SerializeToString(deterministic=True),
        parameters=parameters(model),
        weights=weight_scales(model),
        quantized=any(node.op_type == QUANTIZE for node in model.graph),
        notes={name: list(found) for name, found in done.items() if found},
    )


def parameters(model: ir.Model) -> dict[str, tuple[float, int]]:
    """Scale and zero point (in int8 codes) of every activation that a model quantises, by the tensor's name."""
    found: dict[str, tuple[float, int]] = {}
    for node in model.graph:
        if node.op_type != QUANTIZE or node.inputs[0] is None:
            continue
        scale = constant(node.inputs[1])
        zero = constant(node.inputs[2]) if len(node.inputs) > 2 else None
        if scale is None or scale.size != 1:
            continue
        moved = 0 if zero is None else int(zero.item()) - (128 if zero.dtype.name == "uint8" else 0)
        entry = (float(scale.item()), moved)
        for name in (node.inputs[0].name, node.outputs[0].name, *(one.outputs[0].name for one in readers(node.outputs[0]))):
            found[name or ""] = entry
    return found


def weight_scales(model: ir.Model) -> dict[str, Array]:
    """The scales of the weights of products, by the name of their real values.

    Biases and constants of elementwise operators are left out: the toolkit keeps their values in 32 bits, on scales of its
    own (a bias ahead of a fused Add is on the Add's).
    """
    found = {}
    for node in model.graph:
        for value in node.inputs[1:2] if node.op_type in PRODUCTS else ():
            made = dequantize_of(value)
            scale = constant(made.inputs[1]) if made is not None and constant(made.inputs[0]) is not None else None
            if value is not None and scale is not None:
                found[value.name or ""] = scale.astype(np.float32).reshape(-1)
    return found


def drop_float16_borders(model: ir.Model) -> int:
    """Take out the Casts to float16 and back that the simulation has: the NPU stores float16 by itself."""
    dropped = 0
    for node in list(model.graph):
        if not _is_cast(node, ir.DataType.FLOAT):
            continue
        down = node.inputs[0].producer() if node.inputs[0] is not None else None
        if down is None or not _is_cast(down, ir.DataType.FLOAT16):
            continue
        source, back = down.inputs[0], node.outputs[0]
        if source is None or source.dtype not in (ir.DataType.FLOAT, None):
            continue
        leaves, name = back.is_graph_output(), back.name
        back.replace_all_uses_with(source, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)
        if not down.outputs[0].uses():
            model.graph.remove(down, safe=True)
        if leaves and source.producer() is not None:
            back.name, source.name = None, name
        dropped += 1
    return dropped


def _is_cast(node: ir.Node, kind: ir.DataType) -> bool:
    return node.op_type == "Cast" and int(node.attributes["to"].as_int()) == int(kind)


def _check_opset(model: ir.Model, origin: str) -> None:
    opset = model.graph.opset_imports.get("", 0)
    if not SMALLEST_OPSET <= opset <= LARGEST_OPSET:
        raise CompileError(
            f"{origin} has opset {opset}, and RKNN-Toolkit2 reads {SMALLEST_OPSET} to {LARGEST_OPSET}",
            remedy="Export the model with opset 17, or let rknn-ep compile normalise it.",
        )


def _name_nodes(model: ir.Model) -> None:
    """Give every node a name of its own: the layer table calls native operators by it."""
    taken: set[str] = set()
    for node in model.graph:
        name = node.name or (node.outputs[0].name if node.outputs else "") or node.op_type
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        node.name = unique
        taken.add(unique)
