"""The rules by operator: each names the probed case that a node is an instance of, or refuses it."""

from __future__ import annotations

from rknn_ep.partitioning.rules import (
    convolution,
    elementwise,
    movement,
    normalization,
    pooling,
    products,
    quantized,
    recurrent,
    reduction,
    vision,
)
from rknn_ep.partitioning.rules.common import Case, Refuse, Rule

RULES: dict[str, Rule] = {
    **elementwise.RULES,
    **convolution.RULES,
    **pooling.RULES,
    **products.RULES,
    **normalization.RULES,
    **reduction.RULES,
    **movement.RULES,
    **vision.RULES,
    **recurrent.RULES,
    **quantized.RULES,
}

__all__ = ["RULES", "Case", "Refuse", "Rule"]
