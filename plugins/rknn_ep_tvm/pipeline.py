"""The Relax pipeline `rknn`: tvm.compile(mod, target="rockchip/rk3588", relax_pipeline="rknn")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rknn_ep.errors import OptionError
from rknn_ep_tvm import targets
from rknn_ep_tvm.description import EXECUTION_OPTIONS

if TYPE_CHECKING:
    from tvm import IRModule
    from tvm.ir.transform import Pass, PassContext

NAME = "rknn"
ENTRY = "main"


def register() -> None:
    """Register the pipeline. Idempotent."""
    from tvm.relax import pipeline

    if NAME not in pipeline.PIPELINE_MAP:
        pipeline.register_pipeline(NAME)(rknn_pipeline)


def rknn_pipeline() -> Pass:
    """Partition what was not partitioned, bind partitions to the target and its carrier, and lower the rest for its CPU.

    The target is the one that `tvm.compile` was given, or the current one (`with target:`). A module from `from_onnx` or
    `partition_for_rknn` is left as it was planned; any other is planned here, with the target's options.

    Raises:
        OptionError: there is no target, or it is none of `rockchip/*`.
        ArtifactError: a partition was compiled for another SoC.
        RknnEpError: as `partition_for_rknn`.
    """
    import tvm
    from tvm import relax

    def run(mod: IRModule, _context: PassContext) -> IRModule:
        from rknn_ep_tvm.carriers import bind, is_planned

        target = tvm.target.Target.current(allow_none=True)
        options = targets.options_of(target)
        if target is None or options is None:
            raise OptionError(
                f"the pipeline {NAME} needs a target of Rockchip's, not {'none' if target is None else target.kind.name}",
                remedy="tvm.compile(mod, target='rockchip/rk3588-sim', relax_pipeline='rknn')",
            )
        soc = targets.soc_of(target)
        if ENTRY in {variable.name_hint for variable in mod.get_global_vars()} and not is_planned(mod):
            from rknn_ep_tvm.relax_partition import partition_for_rknn

            planning: dict[str, Any] = {name: value for name, value in options.items() if name != "carrier"}
            mod, _ = partition_for_rknn(mod, target=soc, **planning)
            options = {name: value for name, value in options.items() if name in (*EXECUTION_OPTIONS, "carrier")}
        mod = bind(mod, soc, options)
        return relax.backend.cpu_generic.get_default_pipeline(target)(mod)

    made: Pass = tvm.transform.module_pass(run, opt_level=0, name=NAME)
    return made
