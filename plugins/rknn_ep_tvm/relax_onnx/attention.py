"""Attention as the products and the softmax that it is made of, which the planner knows."""

from __future__ import annotations

import numpy as np

from rknn_ep_tvm.relax_onnx.writer import CallWriter, UnsupportedCallError, converter

_MASKED = -1e4
"""Added to scores that must not count: exp() of it is 0 in float16 too, which an infinity would leave."""


@converter("relax.nn.attention", "relax.nn.attention_bias")
def attention(call: CallWriter) -> str:
    """softmax(Q K^T * scale + bias) V, heads on axis 2 of [batch, positions, heads, channels] (Vaswani et al., 2017).

    PyTorch's scaled_dot_product_attention arrives as this.
    """
    if call.attribute("window_size") is not None:
        raise UnsupportedCallError("a sliding window")
    queries, positions, channels = call.shape()[1], call.shape(1)[1], call.shape()[3]
    scale = call.attribute("scale")
    query, value = (call.node("Transpose", [call.inputs[index]], perm=[0, 2, 1, 3]) for index in (0, 2))
    key = call.node("Transpose", [call.inputs[1]], perm=[0, 2, 3, 1])
    scores = call.node("Mul", [call.node("MatMul", [query, key]), call.like(channels**-0.5 if scale is None else scale)])
    if len(call.inputs) > 3:
        scores = call.node("Add", [scores, call.inputs[3]])
    if (causal := call.attribute("causal_mask")) is not None:
        if causal not in ("TopLeft", "BottomRight"):
            raise UnsupportedCallError(f"causal_mask {causal}")
        seen = np.tri(queries, positions, abs(queries - positions) if causal == "BottomRight" else 0, dtype=bool)
        scores = call.node("Add", [scores, call.constant(np.where(seen, 0, _MASKED), call.dtype())])
    shares = call.node("Softmax", [scores], axis=-1)
    return call.node("Transpose", [call.node("MatMul", [shares, value])], perm=[0, 2, 1, 3])
