"""Our own converters from ONNX to Relax, for operators that TVM 0.27's frontend takes apart.

Its Clip turns each bound into isnan, where and a call that no pattern and no fusion sees through; its HardSwish
and HardSigmoid are fine; GlobalAveragePool, Gemm and BatchNormalization as well (tests/tvm/test_converters.py checks them all
against ONNX Runtime).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
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
    dtype = x.ty.dtype
    bounds = [_number(bound) for bound in (low, high)]
    if str(dtype).startswith("float") and all(isinstance(bound, float) or bound is None for bound in bounds):
        least, most = (-np.inf if bounds[0] is None else bounds[0]), (np.inf if bounds[1] is None else bounds[1])
        if np.isfinite([least, most]).all() and least <= most:
            return relax.op.clip(x, least, most)
    for bound, operator in ((low, relax.op.maximum), (high, relax.op.minimum)):
        if bound is None:
            continue
        value = bound if isinstance(bound, relax.Expr) else relax.const(bound, dtype)
        x = builder.normalize(operator(x, value))
    return x


def _number(bound: Any) -> float | Any | None:
    """A constant bound as a float; None stays None, and what is computed stays as it is."""
    if isinstance(bound, tvm.ir.Constant):
        value = float(bound.value.numpy().reshape(-1)[0])
        return None if np.isnan(value) else value  # a NaN bounds nothing
    return bound


CONVERTERS: Mapping[str, Converter] = {"Clip": clip}
