"""Relax functions in the one form that TVM's passes cut: dataflow blocks of operators, without calls of other functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tvm
from tvm import relax

from rknn_ep.errors import ModelError

if TYPE_CHECKING:
    from tvm import IRModule


def in_dataflow_blocks(mod: IRModule, name: str) -> IRModule:
    """The module, changed only where `mod[name]` has another form.

    Private functions that it calls are written in line; bindings outside of dataflow blocks get into some; casts that
    say nothing new go.

    Raises:
        ModelError: what TVM's passes cannot cut: calls of public functions, shapes that only a match_cast gives.
    """
    if _called(mod, name):
        mod = relax.transform.InlinePrivateFunctions()(mod)
    if left := _called(mod, name):
        raise ModelError(
            f"'{name}' calls {', '.join(left)} of the same module, and only private functions are partitioned with it",
            remedy=f"Make it private, mod['{left[0]}'].without_attr('global_symbol'), or partition it by itself: function=...",
        )
    blocks = mod[name].body.blocks if isinstance(mod[name].body, relax.SeqExpr) else []
    if not all(isinstance(block, relax.DataflowBlock) for block in blocks):
        mod = relax.transform.ConvertToDataflow(min_size=1)(mod)
    if _casts(mod, name):
        mod = relax.transform.CanonicalizeBindings()(mod)
    if casts := _casts(mod, name):
        raise ModelError(
            f"'{casts[0]}' gets its shape at run time, by match_cast, and TVM's passes do not cut functions that hold that",
            remedy="Put what follows into a function of its own that the program calls.",
        )
    return mod


def _called(mod: IRModule, name: str) -> list[str]:
    """Relax functions of the module that `mod[name]` calls."""
    found: dict[str, None] = {}

    def look(expression: relax.Expr) -> None:
        if isinstance(expression, relax.Call) and isinstance(expression.op, tvm.ir.GlobalVar):
            found.setdefault(expression.op.name_hint)

    relax.analysis.post_order_visit(mod[name], look)
    return list(found)


def _casts(mod: IRModule, name: str) -> list[str]:
    body = mod[name].body
    bindings = (binding for block in body.blocks for binding in block.bindings) if isinstance(body, relax.SeqExpr) else ()
    return [binding.var.name for binding in bindings if isinstance(binding, relax.MatchCast)]
