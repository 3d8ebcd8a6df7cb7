"""The Relax pipeline `rknn`: tvm.compile(mod, target="rockchip/rk3588", relax_pipeline="rknn")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rknn_ep.errors import OptionError
from rknn_ep_tvm import targets

if TYPE_CHECKING:
    from tvm import IRModule
    from tvm.ir.transform import Pass, PassContext

NAME = "rknn"


def register() -> None:
    """Register the pipeline. Idempotent."""
    from tvm.relax import pipeline

    if NAME not in pipeline.PIPELINE_MAP:
        pipeline.register_pipeline(NAME)(rknn_pipeline)


def rknn_pipeline() -> Pass:
    """Bind partitions to the target, let their carrier hold them, and lower the rest for the target's CPU.

    The target is the one that `tvm.compile` was given, or the current one (`with target:`).

    Raises:
        OptionError: there is no target, or it is none of `rockchip/*`.
        ArtifactError: a partition was compiled for another SoC.
    """
    import tvm
    from tvm import relax

    def run(mod: IRModule, _context: PassContext) -> IRModule:
        from rknn_ep_tvm.carriers import bind

        target = tvm.target.Target.current(allow_none=True)
        options = targets.options_of(target)
        if target is None or options is None:
            raise OptionError(
                f"the pipeline {NAME} needs a target of Rockchip's, not {'none' if target is None else target.kind.name}",
                remedy="tvm.compile(mod, target='rockchip/rk3588-sim', relax_pipeline='rknn')",
            )
        mod = bind(mod, targets.soc_of(target), options)
        return relax.backend.cpu_generic.get_default_pipeline(target)(mod)

    made: Pass = tvm.transform.module_pass(run, opt_level=0, name=NAME)
    return made
