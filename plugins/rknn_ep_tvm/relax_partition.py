"""From a Relax module to one whose partitions are compiled: `partition_for_rknn`.

The function is written as ONNX and planned by the core, so that the capability tables judge Relax programs by the same
rules as ONNX models. TVM's own passes then cut the module where the plan says so (FuseOpsByPattern, with patterns whose
checks ask the plan, and MergeCompositeFunctions), and each function that comes out is compiled by the core.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tvm
from tvm import relax
from tvm.relax.dpl import is_op, wildcard

from rknn_ep.errors import ModelError
from rknn_ep.importing import load_source
from rknn_ep.options import Options
from rknn_ep.partitioning.plan_report import describe
from rknn_ep.pipeline import Progress, make_plan
from rknn_ep.plugins import plugins
from rknn_ep_tvm import targets
from rknn_ep_tvm.carriers import partition_call, planned
from rknn_ep_tvm.importing import Imported
from rknn_ep_tvm.relax_blocks import in_dataflow_blocks
from rknn_ep_tvm.relax_calibration import write_samples
from rknn_ep_tvm.relax_layout import channels_first
from rknn_ep_tvm.relax_onnx import Converted, to_onnx
from rknn_ep_tvm.relax_region import Region, compile_region
from rknn_ep_tvm.relax_simplify import simplify

if TYPE_CHECKING:
    from tvm import IRModule
    from tvm.relax.dpl import PatternCheckContext
    from tvm.target import Target as TvmTarget

    from rknn_ep.partitioning.partitioner import Plan

CODEGEN = "rknn"


def partition_for_rknn(
    mod: IRModule, *, target: str | TvmTarget = "", function: str = "main", progress: Progress | None = None, **options: Any
) -> Imported:
    """Compile the parts of a Relax module that the NPU takes; everything else stays as it is.

    Args:
        mod: a module whose `function` holds Relax operators on static shapes, as TVM's frontends and `relax.Function`s written
            by hand do. Convolutions with their channels last get them first; the function's parameters and results keep theirs.
        target: `rk3588`, a TVM target's name (`rockchip/rk3588`, `rockchip/rk3588-sim`), or what `make_target` gives.
        function: the function to partition.
        progress: called as the work goes on.
        **options: provider options, docs/options.md: calibration, precision, ... Calibration runs the module itself.

    Returns:
        The module and the report; nodes are called after the Relax variables that they compute.

    Raises:
        ShapeError: a dimension is symbolic; the message names it and how to bind it.
        ModelError: the module has no such function, or it has control flow.
        RknnEpError: as `rknn_ep.compile`.
    """
    return _compiled(mod, function, Options.parse(targets.planning_options(target, options)), progress)


def cut_for_rknn(mod: IRModule, *, target: str | TvmTarget = "", function: str = "main", **options: Any) -> IRModule:
    """The first half of `partition_for_rknn`: regions as functions with the attribute Codegen, nothing compiled.

    For pipelines of one's own: `relax.transform.RunCodegen({"rknn": options})` compiles them.
    """
    return _cut(mod, function, Options.parse(targets.planning_options(target, options)))[0]


def _cut(mod: IRModule, name: str, options: Options) -> tuple[IRModule, Plan, Converted]:
    if not isinstance(mod, tvm.IRModule):
        raise ModelError(
            f"partition_for_rknn takes a module of TVM, not {type(mod).__name__}",
            remedy="rknn_ep_tvm.from_onnx takes models and their files.",
        )
    if name not in {variable.name_hint for variable in mod.get_global_vars()}:
        raise ModelError(f"the module has no function '{name}'", remedy="Name another: partition_for_rknn(mod, function=...).")
    mod = channels_first(in_dataflow_blocks(mod, name), name)
    converted = to_onnx(mod[name])
    plan = make_plan(load_source(converted.model.SerializeToString(), options), options, plugins())
    return _merge(simplify(mod, name, converted), _planned(mod[name], converted, plan)), plan, converted


def _compiled(mod: IRModule, name: str, options: Options, progress: Progress | None) -> Imported:
    merged, plan, converted = _cut(mod, name, options)
    regions = [variable for variable, one in merged.functions_items() if _is_region(one)]
    notes: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rknn-ep-") as folder:
        samples = write_samples(merged, name, regions, options, Path(folder)) if plan.precision != "fp16" else {}
        made = {}
        for number, region in enumerate(regions):  # TVM names a region after all its operators
            given, short = samples.get(region.name_hint), f"{CODEGEN}_{number}"
            own = replace(options, precision=plan.precision, calibration=given)
            made[region.name_hint], notes[short] = compile_region(merged[region], short, own, progress)
    sections = {"partitions": notes, "relax": converted.reasons}
    report = describe(plan, sections={title: section for title, section in sections.items() if section})
    return Imported(planned(_replace(merged, name, made, options.as_text())), report)


def _planned(function: relax.Function, converted: Converted, plan: Plan) -> dict[tuple[str, int], frozenset[relax.Var]]:
    """(operator, number of arguments) -> the variables bound to such calls that partitions compute whole."""
    inside = {index for part in plan.partitions for index in part.origins}
    left_out = {maker for index, maker in enumerate(converted.makers) if index not in inside}
    calls = (binding for block in function.body.blocks for binding in block.bindings if isinstance(binding.value, relax.Call))
    makers = {maker for maker in converted.makers if maker is not None}
    found: dict[tuple[str, int], set[relax.Var]] = defaultdict(set)
    for binding in calls:
        if binding.var in makers and binding.var not in left_out:
            found[binding.value.op.name, len(binding.value.args)].add(binding.var)
    return {call: frozenset(variables) for call, variables in found.items()}


def _merge(mod: IRModule, chosen: Mapping[tuple[str, int], frozenset[relax.Var]]) -> IRModule:
    """Functions with the attribute Codegen, one a partition."""
    if not chosen:
        return mod
    patterns: list[Any] = []
    for (operator, count), variables in chosen.items():
        pattern = is_op(operator)(*(wildcard() for _ in range(count)))
        patterns.append((f"{CODEGEN}.{operator.removeprefix('relax.')}", pattern, {}, _asking(variables)))
    passes = [
        relax.transform.FuseOpsByPattern(patterns, bind_constants=True, annotate_codegen=False),
        relax.transform.MergeCompositeFunctions(),
    ]
    return tvm.transform.Sequential(passes)(mod)


def _asking(chosen: frozenset[relax.Var]) -> Any:
    """A pattern's check: whether the plan puts what it matched on the NPU."""

    def check(context: PatternCheckContext) -> bool:
        return all(variable in chosen for variable in context.matched_bindings)

    return check


def _is_region(function: Any) -> bool:
    attributes = function.attrs
    return isinstance(function, relax.Function) and attributes is not None and attributes.get("Codegen") == CODEGEN


def _replace(mod: IRModule, name: str, regions: Mapping[str, Region], options: Mapping[str, str]) -> IRModule:
    """Calls of regions become calls of partitions, and the regions go."""
    rewriter = _Rewriter(mod, regions, options)
    variable = mod.get_global_var(name)
    rewriter.builder_.update_func(variable, rewriter.visit_expr(mod[name]))
    changed = rewriter.builder_.get()
    kept = {one: function for one, function in changed.functions_items() if one.name_hint not in regions}
    return tvm.IRModule(kept, attrs=changed.attrs)


@relax.expr_functor.mutator
class _Rewriter(relax.PyExprMutator):  # type: ignore[misc]
    def __init__(self, mod: IRModule, regions: Mapping[str, Region], options: Mapping[str, str]) -> None:
        super().__init__(mod)
        self._regions = regions
        self._options = options

    def visit_call_(self, call: relax.Call) -> relax.Expr:
        """Leave every other call as it is."""
        call = super().visit_call_(call)
        region = self._regions.get(getattr(call.op, "name_hint", ""))
        if region is None:
            return call
        made = partition_call(region.bundle, [call.args[index] for index in region.inputs], self._options)
        if not region.several:
            return made
        results = self.builder_.emit(made)
        if len(region.outputs) == 1:
            return relax.Tuple([results])
        return relax.Tuple([relax.TupleGetItem(results, index) for index in region.outputs])
