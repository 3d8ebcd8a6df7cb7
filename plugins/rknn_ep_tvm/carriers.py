"""How a compiled partition travels inside a TVM module, and the way from one carrier to the other.

python   the bundle is a constant of the virtual machine, and every call goes to the global function `rknn_ep.run`:
             R.call_dps_packed("rknn_ep.run", (bundle, description, inputs...), output types)
native   the bundle lies in a C++ module of kind `rknn`, which TVM saves into exported libraries; no Python runs:
             R.call_dps_packed("rknn_<hash>", (inputs...), output types)

The first form is what `from_onnx` writes, with or without the pipeline `rknn`; the second is made from it. The
description is key=value lines: `bundle` (SHA-256 of the content), `target`, and options that say how to run it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tvm
from tvm import relax

from rknn_ep.artifact.bundle import Bundle
from rknn_ep.errors import ArtifactError, OptionError, nearest
from rknn_ep_tvm.description import EXECUTION_OPTIONS, TVM_TYPES, border_of, describe, parse
from rknn_ep_tvm.running import RUN

if TYPE_CHECKING:
    from tvm import IRModule

log = logging.getLogger(__name__)

CARRIERS = ("python", "native")
_PLANNED = "rknn_ep.planned"


def partition_call(content: bytes, inputs: Sequence[relax.Expr], options: Mapping[str, str]) -> relax.Call:
    """The Relax call of one compiled partition, with the Python carrier.

    Args:
        content: the bundle.
        inputs: tensors in the bundle's order.
        options: execution options; others are left out.
    """
    description = border_of(content)
    types = [relax.TensorType(tensor.dims, TVM_TYPES[tensor.dtype]) for tensor in description.outputs]
    text = describe(content, description.target, options)
    arguments = relax.Tuple([relax.const(np.frombuffer(content, np.uint8)), tvm.ir.StringImm(text), *inputs])
    return relax.call_dps_packed(RUN, arguments, types)


def bundles(mod: IRModule) -> dict[str, Bundle]:
    """The bundles in a module that was not lowered yet, by partition name.

    Raises:
        ArtifactError: a bundle is damaged.
    """
    found = [Bundle.from_bytes(content) for content, _ in _calls(mod)]
    return {str(bundle.manifest["partition"]): bundle for bundle in found}


def bind(mod: IRModule, soc: str, options: Mapping[str, str]) -> IRModule:
    """Write execution options into every partition's call of a module, with the carrier that `options` asks for.

    Raises:
        ArtifactError: a partition was compiled for another SoC.
        OptionError: an option is unknown here.
    """
    check_options(options)
    for content, text in _calls(mod):
        made_for = parse(text)[1].get("target", "")
        if made_for != soc:
            name = border_of(content).partition
            raise ArtifactError(
                f"partition {name} was compiled for {made_for}, and the target is {soc}",
                remedy=f"Import the model again with target='{soc}', or compile with target='rockchip/{made_for}'.",
            )
        if options.get("device", "board") != "simulator" and f"{soc}.rknn" not in Bundle.from_bytes(content, verify=False).names:
            log.warning(
                "partition %s holds no %s.rknn: it runs on simulators only; compile it for the board (docs/toolkit.md)",
                border_of(content).partition,
                soc,
            )
    carrier = options.get("carrier", "python")
    rewriter = _Rewriter(mod, options, native=carrier == "native")
    for variable, function in mod.functions_items():
        if isinstance(function, relax.Function):
            rewriter.builder_.update_func(variable, rewriter.visit_expr(function))
    changed = rewriter.builder_.get()
    if not rewriter.modules:
        return changed
    before = list(mod.attrs["external_mods"]) if mod.attrs and "external_mods" in mod.attrs else []
    return changed.with_attr("external_mods", [*before, *rewriter.modules.values()])


def planned(mod: IRModule) -> IRModule:
    """The module with the mark that its partitions are chosen: the pipeline leaves the rest of it to the CPU."""
    return mod.with_attr(_PLANNED, 1)


def is_planned(mod: IRModule) -> bool:
    """Whether the module has that mark."""
    return bool(mod.attrs and mod.attrs.get(_PLANNED))


def check_options(options: Mapping[str, str]) -> None:
    """Refuse what a compiled module cannot keep.

    Raises:
        OptionError: an unknown option or carrier.
    """
    known = (*EXECUTION_OPTIONS, "carrier")
    for name in options:
        if name not in known:
            raise OptionError(f"the pipeline rknn has no option '{name}': {nearest(name, known)}")
    if (carrier := options.get("carrier", "python")) not in CARRIERS:
        raise OptionError(f"option 'carrier' does not take '{carrier}': {nearest(carrier, CARRIERS)}")


@relax.expr_functor.mutator
class _Rewriter(relax.PyExprMutator):  # type: ignore[misc]
    """Rewrites the calls of partitions."""

    def __init__(self, mod: IRModule, options: Mapping[str, str], *, native: bool) -> None:
        super().__init__(mod)
        self._options = options
        self._native = native
        self.modules: dict[str, Any] = {}

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        """Leave every other call as it is."""
        call = super().visit_call_(call)
        if not _is_partition(call):
            return call
        blob, text, *inputs = call.args[1].fields
        digest, known = parse(str(text.value))
        options = {**known, **self._options}
        content = blob.value.numpy().tobytes()
        description = describe(content, known["target"], options)
        (made,) = call.ty_args
        outputs = list(made.fields) if isinstance(made, relax.TupleType) else [made]
        if not self._native:
            return relax.call_dps_packed(RUN, relax.Tuple([blob, tvm.ir.StringImm(description), *inputs]), outputs)
        symbol = f"rknn_{hashlib.sha256(digest.encode() + description.encode()).hexdigest()[:16]}"
        if symbol not in self.modules:
            from rknn_ep_tvm import native

            self.modules[symbol] = native.create(symbol, description, content)
        return relax.call_dps_packed(symbol, relax.Tuple(inputs), outputs)


def _calls(mod: IRModule) -> list[tuple[bytes, str]]:
    """(bundle, description) of every partition's call."""
    found: list[tuple[bytes, str]] = []

    def look(expression: relax.Expr) -> None:
        if isinstance(expression, relax.Call) and _is_partition(expression):
            blob, text = expression.args[1].fields[:2]
            found.append((blob.value.numpy().tobytes(), str(text.value)))

    for function in mod.functions.values():
        if isinstance(function, relax.Function):
            relax.analysis.post_order_visit(function, look)
    return found


def _is_partition(call: relax.Call) -> bool:
    if call.op != tvm.ir.Op.get("relax.call_dps_packed") or not isinstance(call.args[0], relax.ExternFunc):
        return False
    return bool(str(call.args[0].global_symbol) == RUN)
