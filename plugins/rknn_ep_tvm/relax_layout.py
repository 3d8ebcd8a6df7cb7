"""Modules whose convolutions have their channels last, as TFLite's do, with channels first, as the NPU and ONNX have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tvm
from tvm import relax

if TYPE_CHECKING:
    from tvm import IRModule

_WANTED = {"relax.nn.conv2d": ["NCHW", "OIHW"], "relax.nn.conv2d_transpose": ["NCHW", "IOHW"]}
"""TVM's pass takes what follows them along: pools, activations, concatenations."""
_BROADCAST = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


def channels_first(mod: IRModule, name: str) -> IRModule:
    """The module, changed only where `mod[name]` has such a convolution."""
    found: list[relax.Call] = []

    def look(expression: relax.Expr) -> None:
        operator = getattr(getattr(expression, "op", None), "name", "")
        if isinstance(expression, relax.Call) and operator in _WANTED and expression.attrs["data_layout"] != "NCHW":
            found.append(expression)

    relax.analysis.post_order_visit(mod[name], look)
    if not found:
        return mod
    aligner = _Aligner(mod)
    aligner.builder_.update_func(mod.get_global_var(name), aligner.visit_expr(mod[name]))
    passes = [relax.transform.ConvertLayout(_WANTED), relax.transform.CanonicalizeBindings()]
    return tvm.transform.Sequential(passes)(aligner.builder_.get())


@relax.expr_functor.mutator
class _Aligner(relax.PyExprMutator):  # type: ignore[misc]
    """Gives operands of fewer axes, such as biases, as many as the other side has: the pass leaves other ranks where they are."""

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        """Leave every other call as it is."""
        call = super().visit_call_(call)
        if getattr(call.op, "name", "").removeprefix("relax.") not in _BROADCAST:
            return call
        rank = len(call.ty.shape)
        arguments = [self._of_rank(argument, rank) for argument in call.args]
        return relax.Call(call.op, arguments, call.attrs, call.ty_args)

    def _of_rank(self, argument: relax.Expr, rank: int) -> relax.Expr:
        dims = list(argument.ty.shape)
        if len(dims) in (0, rank):
            return argument
        return self.builder_.emit(relax.op.reshape(argument, [1] * (rank - len(dims)) + dims))
