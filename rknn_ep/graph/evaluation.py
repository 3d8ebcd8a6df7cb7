"""Compute a node whose inputs are all constant, by ONNX's reference implementation."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.graph.provenance import bodies_of
from rknn_ep.graph.values import constant

log = logging.getLogger(__name__)

_NEVER = frozenset(
    {
        # Different at each run.
        "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
        # They carry the scales of a quantised model.
        "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
        # The reference implementation and ONNX Runtime differ (alignment of corners, masks, indices).
        "Resize", "Upsample", "MaxUnpool", "Attention",
        # Handled by passes of their own, or no tensors at all.
        "Dropout", "Identity", "Constant", "SequenceConstruct", "SequenceEmpty", "Optional", "OptionalGetElement",
    }
)  # fmt: skip


def foldable(node: ir.Node) -> bool:
    """Whether the node is a pure function of its inputs."""
    return node.domain == "" and node.op_type not in _NEVER and not bodies_of(node)


def evaluate(node: ir.Node, opset: int) -> list[ir.TensorProtocol] | None:
    """The node's outputs, one tensor each, or None where the reference implementation cannot say.

    The node's inputs must be constant. What a host runtime would compute may differ in the last bit.
    """
    implementation = _implementation(node.op_type, opset)
    if implementation is None:
        return None
    inputs = [None if value is None else constant(value) for value in node.inputs]
    attributes = {name: _python(attribute) for name, attribute in node.attributes.items()}
    try:
        with np.errstate(all="ignore"):
            results = implementation.eval(*inputs, n_outputs=len(node.outputs), **attributes)
    except Exception as error:  # noqa: BLE001 - the reference implementation raises whatever it likes; unfolded is right too
        log.debug("%s '%s' stays unfolded: %s", node.op_type, node.name, error)
        return None
    results = results if isinstance(results, tuple | list) else (results,)
    if len(results) < len(node.outputs):
        return None
    tensors = []
    for value, result in zip(node.outputs, results, strict=False):
        array = np.asarray(result)
        if array.dtype == object or array.dtype.kind in "SU" or (value.dtype not in (None, ir.DataType.from_numpy(array.dtype))):
            return None
        tensors.append(ir.Tensor(np.ascontiguousarray(array).reshape(array.shape)))
    return tensors


@lru_cache(maxsize=512)
def _implementation(op_type: str, opset: int) -> Any:
    from onnx.reference.ops import load_op

    try:
        return load_op("", op_type, opset)
    except Exception:  # noqa: BLE001 - "no implementation" has no exception type of its own
        return None


def _python(attribute: ir.Attr) -> Any:
    if attribute.type == ir.AttributeType.TENSOR:
        return ir.to_proto(attribute.as_tensor())
    return attribute.value
