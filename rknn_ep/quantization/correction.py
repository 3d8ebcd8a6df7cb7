"""Bias correction: what rounding the weights shifts on average goes into the bias.

Rounded weights W' give W' x instead of W x; over typical inputs the difference has a mean of its own in each output channel,
(W' - W) E[x], which the bias can take back at no cost (Nagel et al., "Data-Free Quantization Through Weight Equalization and
Bias Correction", 2019, section 4.2, with E[x] measured on the calibration samples). Depthwise convolutions gain most.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.quantization.operators import constant, integer_attribute
from rknn_ep.quantization.statistics import row_sums

Array = np.ndarray[Any, Any]


class ChannelMeans:
    """Running means by channel (axis 1) of the tensors that feed convolutions and Gemms."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._sums: dict[str, Array] = {}
        self._counts: dict[str, int] = {}

    def observe(self, name: str, values: Array) -> None:
        """Count one batch of a tensor, [N, C, ...]; others are not looked at."""
        if name not in self.names or values.ndim < 2:
            return
        rows = values.shape[:2]
        total = row_sums(np.ascontiguousarray(values, np.float32), rows[0] * rows[1]).reshape(rows).sum(axis=0)
        self._sums[name] = self._sums[name] + total if name in self._sums else total
        self._counts[name] = self._counts.get(name, 0) + values.size // values.shape[1]

    def means(self) -> dict[str, Array]:
        """Tensor -> float64 [C]."""
        return {name: total / self._counts[name] for name, total in self._sums.items()}


def correctable(model: ir.Model) -> set[str]:
    """Names of the tensors whose channel means `correction` asks for."""
    names: set[str] = set()
    for node in model.graph:
        if node.domain != "" or node.op_type not in ("Conv", "Gemm") or constant(node.inputs[1]) is None:
            continue
        source = node.inputs[0]
        if source is None:
            continue
        names.add(source.name or "")
        ahead = source.producer()
        if ahead is not None and ahead.op_type == "Pad" and ahead.inputs[0] is not None:
            names.add(ahead.inputs[0].name or "")  # the Pad may become part of the convolution
    return names


def correction(node: ir.Node, weight: Array, rounded: Array, means: Mapping[str, Array]) -> Array | None:
    """What to add to the bias of a Conv or Gemm, float64 [output channels]; None where nothing is known.

    Args:
        node: a Conv, weight (M, C/group, ...), or a Gemm, weight (K, M), or (M, K) with transB.
        weight: its float weight.
        rounded: what its integer codes stand for.
        means: channel means of its input.
    """
    source = node.inputs[0]
    mean = means.get(source.name or "") if source is not None else None
    if mean is None:
        return None
    shift = rounded.astype(np.float64) - weight.astype(np.float64)
    if node.op_type == "Gemm" and not integer_attribute(node, "transA", 0):
        shift = shift if integer_attribute(node, "transB", 0) else shift.T
        return -(shift @ mean) if shift.shape[1] == mean.size else None
    if node.op_type != "Conv":
        return None
    taps = shift.sum(axis=tuple(range(2, shift.ndim)))
    group = integer_attribute(node, "group", 1)
    if group * taps.shape[1] != mean.size:
        return None
    by_output = np.repeat(mean.reshape(group, -1), taps.shape[0] // group, axis=0)
    return -np.asarray((taps * by_output).sum(axis=1))
