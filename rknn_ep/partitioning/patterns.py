"""Groups of nodes that become one native operator, and so stay whole and are rounded once.

What fuses was probed with RKNN-Toolkit2 2.5.0 (cases `f_*` and `p_*` of the tables): a convolution or product with
the activation after it, Add and Mul with Relu, SiLU, GELU, Mish, root-mean-square normalisation, scaled dot-product
attention. Conv followed by Add stays two operators. Every group has one way out: what its nodes make is read inside
the group, except at its last node. Contracting such groups never makes a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from rknn_ep.records import NodeFacts

if TYPE_CHECKING:
    from rknn_ep.graph import View

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
PRODUCTS = frozenset({"Gemm", "MatMul"})
ACTIVATIONS = frozenset(
    {"Relu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Elu", "Tanh", "Softplus", "Mish", "Gelu"}
)
"""Fused into a convolution."""
AFTER_PRODUCT = frozenset({"Relu", "Clip", "Sigmoid"})
"""Fused into Gemm or MatMul."""
GATES = ("SiLU", "Mish", "GELU")
"""Small graphs that are fused like an activation."""


PATTERN_CASES = {
    "attention": "p_attention",
    "GELU": "p_gelu_erf",
    "Mish": "p_mish",
    "SiLU": "p_silu",
    "RMSNorm": "p_rmsnorm_decomp",
}
"""Pattern -> the case of the capability tables in which it was probed."""
ONE_HEAD, UNSCALED = "p_attention_one", "f_attn_noscale"
"""Cases of attention that some SoCs treat otherwise: of a single head; without a factor before its Softmax."""


def native_groups(view: View) -> tuple[tuple[int, ...], ...]:
    """Every node of the view in exactly one group, groups ordered by their last node."""
    return _Finder(view).groups()


def probed_patterns(view: View) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """The patterns that a capability table has a case for: (name of the case, nodes)."""
    finder = _Finder(view)
    finder.groups()
    fused = tuple((finder.case_of(kind, nodes), nodes) for kind, nodes in finder.patterns)
    return fused + tuple((UNSCALED, nodes) for nodes in finder.unscaled_attention())


class _Finder:
    """Claims nodes pattern by pattern, the largest first."""

    def __init__(self, view: View) -> None:
        self.facts: list[NodeFacts] = [node.facts for node in view.nodes]
        self.wiring = view.wiring
        self.by_op: dict[str, list[int]] = {}
        for index, node in enumerate(self.facts):
            if node.domain in ("", "ai.onnx"):
                self.by_op.setdefault(node.op_type, []).append(index)
        self.group_of: dict[int, int] = {}
        self.members: dict[int, list[int]] = {}
        """Last node -> all nodes of its group."""
        self.kind: dict[int, str] = {}
        self.patterns: list[tuple[str, tuple[int, ...]]] = []

    def groups(self) -> tuple[tuple[int, ...], ...]:
        patterns: list[tuple[str, str, Callable[[int], list[int] | None]]] = [
            ("Softmax", "attention", self._attention),
            ("Erf", "GELU", self._gelu),
            ("Softplus", "Mish", self._mish),
            ("Sigmoid", "SiLU", self._silu),
            ("ReduceMean", "RMSNorm", self._rms_norm),
        ]
        for op_type, kind, find in patterns:
            for index in self.by_op.get(op_type, ()):
                self._claim(kind, find(index))
        for op_type in (*CONVOLUTIONS, *PRODUCTS):
            for index in self.by_op.get(op_type, ()):
                self._with_activation(index)
        for op_type in ("Add", "Mul"):
            for index in self.by_op.get(op_type, ()):
                self._arithmetic_relu(index)
        self._quantised_units()
        singles = {index: [index] for index in range(len(self.facts)) if index not in self.group_of}
        return tuple(tuple(sorted(nodes)) for _, nodes in sorted((self.members | singles).items()))

    def case_of(self, kind: str, nodes: tuple[int, ...]) -> str:
        """The case of a pattern that was found."""
        if kind == "attention":
            scores = next(node for node in nodes if self.facts[node].op_type == "MatMul")
            queries = self.facts[scores].inputs[0]
            if queries is not None and queries.shape is not None and len(queries.shape) == 4 and prod(queries.shape[:2]) == 1:
                return ONE_HEAD
        return PATTERN_CASES[kind]

    def unscaled_attention(self) -> Sequence[tuple[int, ...]]:
        """softmax(q k^T) v: no group, for it stays several operators; but its Softmax may go where another would not."""
        found = []
        for softmax in self.by_op.get("Softmax", ()):
            scores, values = self._maker(softmax, 0, "MatMul"), self._reader(softmax, "MatMul")
            if scores is not None and values is not None and self._names(values)[0] in self.wiring.makes[softmax]:
                found.append((scores, softmax, values))
        return found

    def _claim(self, kind: str, nodes: list[int] | None) -> None:
        """Make a group of `nodes`, whose last is the way out, if all are free and nothing else leaves it."""
        if not nodes or len(set(nodes)) != len(nodes) or any(node in self.group_of for node in nodes):
            return
        inside = set(nodes)
        for node in nodes[:-1]:
            for name in self.wiring.makes[node]:
                if name in self.wiring.outputs or not inside.issuperset(self.wiring.readers.get(name, ())):
                    return
        last = nodes[-1]
        self.members[last] = nodes
        self.kind[last] = kind
        for node in nodes:
            self.group_of[node] = last
        if kind in PATTERN_CASES:
            self.patterns.append((kind, tuple(nodes)))

    # ------------------------------------------------------------------------------------- looking around

    def _reader(self, node: int, *op_types: str) -> int | None:
        """The one node that reads what `node` makes, if it is of these operators."""
        if not self.wiring.makes[node]:
            return None
        reader = self.wiring.sole_reader(self.wiring.makes[node][0])
        return reader if reader is not None and self.facts[reader].op_type in op_types else None

    def _maker(self, node: int, position: int, *op_types: str) -> int | None:
        inputs = self.facts[node].inputs
        tensor = inputs[position] if position < len(inputs) else None
        maker = self.wiring.maker.get(tensor.name) if tensor is not None else None
        return maker if maker is not None and self.facts[maker].op_type in op_types else None

    def _names(self, node: int) -> list[str]:
        return [tensor.name for tensor in self.facts[node].inputs if tensor is not None]

    def _constant(self, node: int) -> float | None:
        """The scalar constant among the inputs of a binary node."""
        for tensor in self.facts[node].inputs:
            if tensor is not None and tensor.constant is not None and tensor.constant.size == 1:
                return float(np.asarray(tensor.constant).reshape(-1)[0])
        return None

    def _source(self, node: int) -> str | None:
        """The name of the one input that is not constant."""
        names = [tensor.name for tensor in self.facts[node].inputs if tensor is not None and tensor.constant is None]
        return names[0] if len(names) == 1 else None

    # ------------------------------------------------------------------------------------- small graphs

    def _silu(self, sigmoid: int) -> list[int] | None:
        product = self._reader(sigmoid, "Mul")
        return [sigmoid, product] if product is not None and self._names(sigmoid)[0] in self._names(product) else None

    def _mish(self, softplus: int) -> list[int] | None:
        tanh = self._reader(softplus, "Tanh")
        product = self._reader(tanh, "Mul") if tanh is not None else None
        if tanh is None or product is None or self._names(softplus)[0] not in self._names(product):
            return None
        return [softplus, tanh, product]

    def _gelu(self, erf: int) -> list[int] | None:
        """X * 0.5 * (1 + erf(x / sqrt 2)), the factor one half at any of its three places."""
        scale = self._maker(erf, 0, "Div", "Mul")
        shift = self._reader(erf, "Add")
        if scale is None or shift is None or self._constant(shift) != 1.0 or self._constant(scale) is None:
            return None
        source = self._source(scale)
        product = self._reader(shift, "Mul")
        if product is None or source is None:
            return None
        nodes = [scale, erf, shift, product]
        other = [name for name in self._names(product) if name not in self.wiring.makes[shift]]
        if other == [source]:
            half = self._reader(product, "Mul")
            return [*nodes, half] if half is not None and self._constant(half) == 0.5 else None
        if self._constant(product) == 0.5:
            last = self._reader(product, "Mul")
            return [*nodes, last] if last is not None and source in self._names(last) else None
        halved = self.wiring.maker.get(other[0]) if other else None
        if halved is not None and self._constant(halved) == 0.5 and self._source(halved) == source:
            return [halved, *nodes]
        return None

    def _rms_norm(self, mean: int) -> list[int] | None:
        """X / sqrt(mean(x^2) + epsilon), and the factor after it."""
        square = self._maker(mean, 0, "Pow", "Mul")
        shift = self._reader(mean, "Add")
        root = self._reader(shift, "Sqrt") if shift is not None else None
        if square is None or shift is None or root is None or self._constant(shift) is None:
            return None
        source = self._source(square) if self.facts[square].op_type == "Pow" else self._squared(square)
        last = self._reader(root, "Div", "Reciprocal")
        nodes = [square, mean, shift, root]
        if last is not None and self.facts[last].op_type == "Reciprocal":
            nodes.append(last)
            last = self._reader(last, "Mul")
        if last is None or source is None or source not in self._names(last):
            return None
        nodes.append(last)
        factor = self._reader(last, "Mul")
        return [*nodes, factor] if factor is not None and self._source(factor) in self.wiring.makes[last] else nodes

    def _squared(self, product: int) -> str | None:
        names = self._names(product)
        return names[0] if len(names) == 2 and names[0] == names[1] else None

    def _attention(self, softmax: int) -> list[int] | None:
        """softmax(q k^T * scale) v. Without the scale, or with a mask, the compiler does not fuse it."""
        scale = self._maker(softmax, 0, "Mul", "Div")
        scores = self._maker(scale, 0, "MatMul") if scale is not None else None
        values = self._reader(softmax, "MatMul")
        if scale is None or scores is None or values is None or self._constant(scale) is None:
            return None
        if self._names(values)[0] not in self.wiring.makes[softmax]:
            return None
        transposed = self._maker(scores, 1, "Transpose")
        nodes = [scores, scale, softmax, values]
        if transposed is not None and self._reader(transposed, "MatMul") == scores and self._swaps_last(transposed):
            return [transposed, *nodes]
        return nodes

    def _swaps_last(self, transpose: int) -> bool:
        permutation = list(self.facts[transpose].attributes.get("perm", ()))
        rank = len(permutation)
        return rank > 2 and permutation == [*range(rank - 2), rank - 1, rank - 2]

    # ------------------------------------------------------------------------------------- with what follows

    def _with_activation(self, index: int) -> None:
        """A convolution or product with its bias and the activation after it."""
        if index in self.group_of:
            return
        product = self.facts[index].op_type in PRODUCTS
        nodes = [index]
        if self.facts[index].op_type == "MatMul":
            bias = self._reader(index, "Add")
            if bias is not None and self._is_bias(bias):
                nodes.append(bias)
        follower = self._after(nodes[-1])
        if follower is not None and follower in self.group_of:
            gate = self.group_of[follower]
            whole = self.members[gate]
            if self.kind[gate] in GATES and (not product or self.kind[gate] == "SiLU") and self._only_feeds(nodes[-1], whole):
                self._dissolve(gate)
                self._claim("fused", [*nodes, *whole])
                return
        elif follower is not None and self.facts[follower].op_type in (AFTER_PRODUCT if product else ACTIVATIONS):
            nodes.append(follower)
        if len(nodes) > 1:
            self._claim("fused", nodes)

    def _after(self, node: int) -> int | None:
        names = self.wiring.makes[node]
        readers = self.wiring.readers.get(names[0], ()) if names else ()
        return readers[0] if readers and names[0] not in self.wiring.outputs else None

    def _only_feeds(self, node: int, group: list[int]) -> bool:
        return set(group).issuperset(self.wiring.readers.get(self.wiring.makes[node][0], ()))

    def _is_bias(self, add: int) -> bool:
        return any(
            tensor is not None and tensor.constant is not None and tensor.constant.ndim <= 1 for tensor in self.facts[add].inputs
        )

    def _dissolve(self, last: int) -> None:
        for node in self.members.pop(last):
            del self.group_of[node]

    def _arithmetic_relu(self, index: int) -> None:
        relu = self._reader(index, "Relu")
        if relu is not None:
            self._claim("fused", [index, relu])

    # ------------------------------------------------------------------------------------- quantised models

    def _quantised_units(self) -> None:
        """DequantizeLinear, operator, QuantizeLinear of a model that arrives quantised, as one unit.

        The unit's borders are the integer tensors, as in ONNX Runtime's own node units, so that either side of a
        partition's border computes from the same codes. A DequantizeLinear that several units read is a unit alone.
        """
        for quantize in self.by_op.get("QuantizeLinear", ()):
            made = self._maker(quantize, 0, *self.by_op)
            if made is None or self.facts[made].op_type in ("QuantizeLinear", "DequantizeLinear"):
                continue
            if self.wiring.sole_reader(self._names(quantize)[0]) != quantize:
                continue
            self._wrap(made, quantize)
        for dequantize in self.by_op.get("DequantizeLinear", ()):
            reader = self.wiring.sole_reader(self.wiring.makes[dequantize][0])
            if dequantize in self.group_of or reader is None or self.facts[reader].op_type == "QuantizeLinear":
                continue
            self._wrap(reader, None, dequantize)

    def _wrap(self, node: int, quantize: int | None, dequantize: int | None = None) -> None:
        last = self.group_of.get(node)
        if quantize is not None and last is not None and node != last:
            return
        nodes = self.members.get(last, [node]) if last is not None else [node]
        kind = self.kind.get(last, "unit") if last is not None else "unit"
        if last is not None:
            self._dissolve(last)
        before = [dequantize] if dequantize is not None else []
        after = [quantize] if quantize is not None else []
        self._claim(kind, [*before, *nodes, *after])
        if node not in self.group_of and len(nodes) > 1:
            self._claim(kind, nodes)
