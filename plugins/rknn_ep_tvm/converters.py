"""Our own converters from ONNX to Relax, for operators that TVM 0.27's frontend takes apart.

Its Clip turns each bound into isnan, where and a call that no pattern and no fusion sees through; its HardSwish
and HardSigmoid are fine; GlobalAveragePool, Gemm and BatchNormalization as well (tests/tvm/test_converters.py checks them all
against ONNX Runtime).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tvm
from tvm import relax

Converter = Callable[[relax.BlockBuilder, Sequence[Any], Mapping[str, Any], int], relax.Expr]
"""(builder, inputs with None for omitted ones, attributes, opset) -> the result."""


def clip(builder: relax.BlockBuilder, inputs: Sequence[Any], attributes: Mapping[str, Any], opset: int) -> relax.Expr:
    """Clip with constant bounds as one Relax operator; with computed bounds as minimum and maximum.

    As ONNX defines it, the upper bound wins where the bounds are in the wrong order.
    """
    x, low, high = (*inputs, None, None)[:3]
    if opset < 11:
        low, high = attributes.get("min"), attributes.get("max")
    low, high = _constant(low), _constant(high)
    dtype = str(x.ty.dtype)
    constant = isinstance(low, float) and isinstance(high, float) and math.isfinite(low) and math.isfinite(high)
    if dtype.startswith("float") and constant and low <= high:
        return relax.op.clip(x, low, high)
    for bound, operator, unbounded in ((low, relax.op.maximum, -math.inf), (high, relax.op.minimum, math.inf)):
        if bound is not None:
            x = builder.normalize(operator(x, _expression(builder, bound, dtype, unbounded)))
    return x


def _expression(builder: relax.BlockBuilder, bound: Any, dtype: str, unbounded: float) -> relax.Expr:
    """A bound as Relax takes it; one that is computed may turn out as NaN, and then bounds nothing."""
    if not isinstance(bound, relax.Expr):
        return relax.const(bound, dtype)
    if not dtype.startswith("float"):
        return bound
    return builder.normalize(relax.op.where(relax.op.isnan(bound), relax.const(unbounded, dtype), bound))


def _constant(bound: Any) -> Any:
    """A constant bound as a number, None where it bounds nothing (omitted, or a NaN); what is computed stays as it is."""
    if not isinstance(bound, tvm.ir.Constant):
        return bound
    value = bound.value.numpy().reshape(-1)[0].item()
    return None if isinstance(value, float) and math.isnan(value) else value


CONVERTERS: Mapping[str, Converter] = {"Clip": clip}
