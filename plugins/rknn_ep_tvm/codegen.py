"""`relax.transform.RunCodegen({"rknn": options})`: regions as native modules, for pipelines of one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rknn_ep.errors import ModelError
from rknn_ep_tvm.description import EXECUTION_OPTIONS, describe

if TYPE_CHECKING:
    from tvm import relax

NAME = "relax.ext.rknn"


def register() -> None:
    """Register the code generator. Idempotent."""
    import tvm_ffi

    tvm_ffi.register_global_func(NAME, generate, override=True)


def generate(functions: Sequence[relax.Function], options: Mapping[str, Any] | None, _constants: Any) -> list[Any]:
    """One native module a function.

    Args:
        functions: regions, as `cut_for_rknn` leaves them.
        options: provider options as strings, `target` among them.

    Raises:
        NotInstalledError: the native library is not installed.
        RknnEpError: as `partition_for_rknn`.
    """
    from rknn_ep.options import Options
    from rknn_ep_tvm import native, targets
    from rknn_ep_tvm.relax_region import compile_region

    given = {str(name): str(value) for name, value in (options or {}).items()}
    given = targets.planning_options(given.pop("target", ""), given)
    parsed = Options.parse(given)
    execution = {name: value for name, value in given.items() if name in EXECUTION_OPTIONS}
    modules = []
    for function in functions:
        symbol = str(function.attrs["global_symbol"])
        region, _ = compile_region(function, "rknn_0", parsed)
        if [*region.inputs] != list(range(len(function.params))) or [*region.outputs] != sorted(region.outputs):
            raise ModelError(f"region {symbol} has parameters that nothing reads", remedy="Remove them: DeadCodeElimination.")
        modules.append(native.create(symbol, describe(region.bundle, parsed.target, execution), region.bundle))
    return modules
