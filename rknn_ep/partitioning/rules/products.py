"""Matrix products: MatMul, Gemm, Einsum."""

from __future__ import annotations

from rknn_ep.partitioning.rules.common import Case, Refuse, Rule, data, float_types, given, integer, ranked, shape, text
from rknn_ep.records import NodeFacts


def matmul(node: NodeFacts) -> Case:
    """By a constant matrix (it becomes a convolution), or of two computed tensors."""
    float_types(node)
    left, right = data(node, 0), data(node, 1)
    ranks = ranked(left, 1, 2, 3, 4), ranked(right, 1, 2, 3, 4)
    depth = shape(left)[-1]
    if right.constant is not None and ranks[1] == 2 and ranks[0] > 1:
        names = {2: "MatMul_2d_const", 3: "MatMul_big" if depth > 2048 else "MatMul_const", 4: "MatMul_4d_const"}
        return Case(names[ranks[0]], heavy=True)
    if left.constant is not None and ranks == (2, 2):
        return Case("MatMul_const_first", heavy=True)
    name = (
        "MatMul_vec"
        if 1 in ranks
        else "MatMul_k9000"
        if depth > 8192
        else f"MatMul_{max(ranks)}d_dyn"
        if max(ranks) < 4
        else "MatMul_dyn"
    )
    return Case(name, "MatMul", {"k": (depth,)}, heavy=True)


def gemm(node: NodeFacts) -> Case:
    """A fully connected layer; the second matrix and the bias may be computed."""
    float_types(node)
    ranked(data(node), 2)
    transposed = integer(node, "transA", 0) == 1
    if data(node, 1).constant is not None:
        return Case("Gemm_transA" if transposed else "Gemm", heavy=True)
    depth = shape(data(node))[0 if transposed else 1]
    bias = given(node, 2)
    name = "Gemm_dynB" if bias is None else "Gemm_dynABC" if bias.constant is None else "Gemm_dynB_bias"
    alpha, beta = (float(node.attributes.get(factor, 1.0)) for factor in ("alpha", "beta"))
    if bias is not None and (alpha != 1 or (beta != 1 and bias.constant is None)):
        name += "_alpha"
    return Case(name, "MatMul", {"k": (depth,)}, heavy=True)


def einsum(node: NodeFacts) -> Case:
    """Equations that are a batched matrix product of two tensors."""
    float_types(node)
    equation = text(node, "equation", "").replace(" ", "")
    terms, arrow, result = equation.partition("->")
    parts = terms.split(",")
    limit = "a batched matrix product such as bhqd,bhkd->bhqk"
    if not arrow or len(parts) != 2 or "." in equation or any(len(set(part)) != len(part) for part in (*parts, result)):
        raise Refuse("attribute", f"equation is {equation}", limit)
    left, right, out = set(parts[0]), set(parts[1]), set(result)
    contracted = (left & right) - out
    if not contracted or (left ^ right) - out or out - (left | right):
        raise Refuse("attribute", f"equation is {equation}", limit)
    for index in (0, 1):
        ranked(data(node, index), 2, 3, 4)
    sizes = dict(zip(parts[0], shape(data(node)), strict=True))
    depth = 1
    for label in contracted:
        depth *= sizes[label]
    return Case("Einsum", "MatMul", {"k": (depth,)}, heavy=True)


RULES: dict[str, Rule] = {"MatMul": matmul, "Gemm": gemm, "Einsum": einsum}
