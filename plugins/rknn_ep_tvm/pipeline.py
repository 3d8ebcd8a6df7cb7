"""The Relax pipeline `rknn`: tvm.compile(mod, target="rockchip/rk3588", relax_pipeline="rknn")."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rknn_ep.errors import OptionError
from rknn_ep_tvm import targets
from rknn_ep_tvm.description import EXECUTION_OPTIONS

if TYPE_CHECKING:
    from tvm import IRModule
    from tvm.ir.transform import Pass, PassContext
    from tvm.target import Target

log = logging.getLogger(__name__)

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
        if not is_planned(mod):
            mod = _partitioned(mod, target)
            options = {name: value for name, value in options.items() if name in (*EXECUTION_OPTIONS, "carrier")}
        mod = bind(mod, soc, options)
        return relax.backend.cpu_generic.get_default_pipeline(target)(mod)

    made: Pass = tvm.transform.module_pass(run, opt_level=0, name=NAME)
    return made


def _partitioned(mod: IRModule, target: Target) -> IRModule:
    """A module that nobody partitioned, with a warning where the NPU gets nothing of it: nobody sees the report here."""
    from rknn_ep_tvm.relax_partition import partition_for_rknn

    if ENTRY not in {variable.name_hint for variable in mod.get_global_vars()}:
        log.warning(
            "nothing was partitioned: the module has no function '%s'; partition_for_rknn(mod, function=...) takes others",
            ENTRY,
        )
        return mod
    mod, report = partition_for_rknn(mod, target=target)
    if not report.partitions:
        log.warning("nothing of the module runs on the NPU: the report of partition_for_rknn says why")
    return mod
