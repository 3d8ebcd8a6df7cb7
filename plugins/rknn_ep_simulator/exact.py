"""`simulation=exact`: products of quantised operands as the integer arithmetic that ONNX defines.

Each Conv, ConvTranspose, Gemm and MatMul on 8-bit operands accumulates integer codes, adds its int32 bias, and is
rescaled once, by the float32 product of the operands' scales. ONNX Runtime multiplies float32, which holds integers
exactly below 2^24: so codes without their scale go through the float operator where no sum can reach that bound, and
through ConvInteger or MatMulInteger where one could. The bound is computed from the actual weights.

The integer operators get unsigned weights (code + 128): with signed ones, processors that have AVX2 but not VNNI add
pairs of products in 16 bits and saturate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, TopologicalSortPass

from rknn_ep_simulator.graphs import MULTIPLIERS
from rknn_ep_simulator.product import Product

FLOAT_LIMIT = 2**24
"""Float32 holds every integer up to this one."""


@dataclass(frozen=True)
class Exact:
    """The model that `simulation=exact` runs."""

    model: ir.Model
    nodes: int
    """Products that were rewritten."""
    in_integers: int
    """Of these, the ones whose sums need integer operators."""
    inexact: tuple[str, ...]
    """Outputs of products that stay float although a sum could leave the exact range."""


def fold_foreign_biases(model: ir.Model) -> int:
    """Make biases float that are not in steps of their product's scale: ONNX Runtime 1.23 fuses them wrongly."""
    return sum(product.fold_foreign_bias() for _, product in _products(model))


def _products(model: ir.Model) -> Iterator[tuple[ir.Node, Product]]:
    for node in list(model.graph):
        if node.op_type in MULTIPLIERS and node.domain in ("", "ai.onnx"):
            product = Product.read(node)
            if product is not None:
                yield node, product


def make_exact(model: ir.Model) -> Exact | None:
    """A copy of `model` in which quantised products are computed in integers; None where there are none."""
    copy = model.clone()
    nodes = in_integers = 0
    inexact = []
    for node, product in _products(copy):
        if product.bound < FLOAT_LIMIT:
            product.rewrite(integers=False)
        elif product.integers_possible():
            product.rewrite(integers=True)
            in_integers += 1
        else:
            inexact.append(node.outputs[0].name or "")
            continue
        nodes += 1
    if not nodes:
        return None
    TopologicalSortPass()(copy)
    RemoveUnusedNodesPass()(copy)
    return Exact(copy, nodes, in_integers, tuple(inexact))
