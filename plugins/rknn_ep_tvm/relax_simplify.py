"""What a module is spared before it is cut: calls of constants, such as weights that are transposed before they are used.

They would else enter partitions as tensors of the run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import helper, numpy_helper
from tvm import relax

from rknn_ep.plugins import plugins
from rknn_ep_tvm.relax_onnx import DOMAIN

if TYPE_CHECKING:
    from tvm import IRModule

    from rknn_ep_tvm.relax_onnx import Converted

_EXECUTOR = "onnxruntime"


def simplify(mod: IRModule, name: str, converted: Converted) -> IRModule:
    """The module with such calls folded, and without tuples that are made only to be taken apart.

    All other variables stay the ones they are.
    """
    function = mod[name]
    known: dict[relax.Var, relax.Expr] = {variable: relax.const(value) for variable, value in _values(converted).items()}
    tuples: dict[relax.Var, relax.Tuple] = {}
    builder = relax.BlockBuilder(mod)
    blocks = []
    for block in function.body.blocks:
        bindings = []
        for binding in block.bindings:
            if binding.var in known:
                continue
            value = _substituted(binding.value, known) if isinstance(binding, relax.VarBinding) else binding.value
            if isinstance(value, relax.Tuple):
                tuples[binding.var] = value
            if isinstance(value, relax.TupleGetItem) and value.tuple_value in tuples:
                known[binding.var] = tuples[value.tuple_value].fields[value.index]
                continue
            same = value.same_as(binding.value)
            bindings.append(binding if same else relax.VarBinding(binding.var, builder.normalize(value)))
        blocks.append(type(block)(bindings))
    body = relax.SeqExpr(blocks, _substituted(function.body.body, known))
    made = relax.Function(function.params, builder.normalize(body), function.ret_ty, function.is_pure, function.attrs)
    changed = mod.clone()
    changed.update_func(mod.get_global_var(name), made)
    return relax.transform.DeadCodeElimination([name])(changed)


def _values(converted: Converted) -> dict[relax.Var, np.ndarray[Any, Any]]:
    """Variable -> value, of the calls that depend on constants alone and give one tensor."""
    graph = converted.model.graph
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    given = {
        variable: numpy_helper.to_array(tensors[text])  # zeros and the like, for which no node was written
        for variable, text in converted.values.items()
        if isinstance(text, str) and text in tensors
    }
    constant = set(tensors)
    wanted: dict[str, relax.Var] = {}
    nodes = []
    for node, maker in zip(graph.node, converted.makers, strict=True):
        if node.domain == DOMAIN or not all(name in constant for name in node.input if name):
            continue
        constant.update(node.output)
        nodes.append(node)
        if maker is not None and converted.values[maker] in node.output:
            wanted[str(converted.values[maker])] = maker
    if not wanted:
        return given
    types = {value.name: value for value in [*graph.value_info, *graph.output]}
    used = {name for node in nodes for name in node.input}
    initializers = [tensor for tensor in graph.initializer if tensor.name in used]
    small = helper.make_graph(nodes, "constants", [], [types[name] for name in wanted], initializers)
    model = helper.make_model(small, opset_imports=converted.model.opset_import, ir_version=converted.model.ir_version)
    executor = plugins().float_executors()[_EXECUTOR].create(model.SerializeToString(), list(wanted), 1)
    return {**given, **{wanted[name]: value for name, value in executor.run({})}}


def _substituted(expression: relax.Expr, known: dict[relax.Var, relax.Expr]) -> relax.Expr:
    """The expression itself where it uses none of them."""
    if isinstance(expression, relax.Var):
        return known.get(expression, expression)
    if isinstance(expression, relax.Tuple):
        fields = [_substituted(field, known) for field in expression.fields]
        return relax.Tuple(fields) if _differ(fields, expression.fields) else expression
    if isinstance(expression, relax.Call):
        arguments = [_substituted(argument, known) for argument in expression.args]
        if _differ(arguments, expression.args):
            return relax.Call(expression.op, arguments, expression.attrs, expression.ty_args)
    return expression


def _differ(new: Sequence[relax.Expr], old: Sequence[relax.Expr]) -> bool:
    return any(not one.same_as(other) for one, other in zip(new, old, strict=True))
