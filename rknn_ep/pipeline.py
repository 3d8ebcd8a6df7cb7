"""The way of the data, from an ONNX model to bundles that a device runs: normalise, plan, quantise, compile, bundle.

`build` is that way; `compile`, `partition` and `quantize` are its public faces, and the frontends (ONNX Runtime's
provider, TVM) call `build_from_bytes` with the graph that their runtime hands them.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rknn_ep import builds
from rknn_ep.artifact.cache import Cache
from rknn_ep.builds import Build, BuiltPartition
from rknn_ep.compilation import Ahead, Chosen, choose_compilers, compile_partitions
from rknn_ep.errors import CalibrationError, CompileError, ModelError, OptionError, RknnEpError, ShapeError, StrictError
from rknn_ep.importing import Source, load_source
from rknn_ep.options import Options
from rknn_ep.plugins import PluginManager, plugins
from rknn_ep.records import CompileRequest, Runtime, Target

if TYPE_CHECKING:
    import onnx_ir as ir

    from rknn_ep.graph import View
    from rknn_ep.partitioning.partitioner import Partition, Plan
    from rknn_ep.partitioning.report import Report

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]
"""(what is going on, share done 0..1)."""

# --------------------------------------------------------------------------------------------- public faces


def compile(
    model: Source,
    output: str | Path,
    *,
    embed_mode: int = 1,
    also_targets: Sequence[str] = (),
    strip_simulation: bool = False,
    format: str = "epcontext",
    progress: Progress | None = None,
    **options: Any,
) -> Report:
    """Compile a model ahead of time into an ordinary ONNX model with EPContext nodes.

    What boards load (.rknn) is made where its compiler is installed: `rknn-ep toolkit install`. With the option
    `device` left at auto a missing one is said in the report, and the result holds the simulation alone; with
    `device=board` it is an error.

    Args:
        model: path of a model in any format that an importer plugin reads, serialised ONNX, or an object that one takes.
        output: where to write the EPContext model, or the .rknn.
        embed_mode: 1 keeps the compiled partitions inside the model, 0 in files beside it.
        also_targets: SoCs for which the partitions are compiled too, beside the option `target`, which plans them.
        strip_simulation: leave out what only the simulator needs.
        format: `epcontext`, or `rknn`: each partition as a .rknn with its companion bundle beside it, no ONNX model.
        progress: called as the work goes on.
        **options: provider options, docs/options.md.

    Returns:
        What runs where and why, with what quantisation and compilation had to say.

    Raises:
        RknnEpError: of the kind that fits, before anything is written.
    """
    from rknn_ep import delivery

    delivery.check(format, Path(output), strip_simulation)
    parsed = Options.parse(options)
    ahead = Ahead(_other_targets(also_targets, parsed))
    if format == "rknn" or strip_simulation:
        chosen = _choose_compilers(parsed, plugins(), ahead)
        delivery.require_compiler(chosen.missing, bool(chosen.devices))
    loaded = _uncompiled(load_source(model, parsed))
    built = build(loaded, parsed, progress=progress, ahead=ahead)
    if format == "rknn":
        delivery.write_rknn(built.partitions, Path(output))
    else:
        delivery.write_model(
            loaded, built.partitions, Path(output), built.target.name, embed_mode=embed_mode, strip_simulation=strip_simulation
        )
    return built.report


def _other_targets(names: Sequence[str], options: Options) -> tuple[str, ...]:
    """The names in order, each once, without the target itself; OptionError for one that does not exist."""
    found = dict.fromkeys(plugins().target(name).name for name in names)
    others = tuple(name for name in found if name != options.target)
    for name in others:
        options.check_for(name)
    return others


def partition(model: Source, **options: Any) -> Report:
    """Say what would run on the NPU, and for every node that would not, why. Nothing is quantised or compiled.

    Raises:
        RknnEpError: the model cannot be read, or an option or shape is missing or wrong.
    """
    from rknn_ep.graph.collector import collector_paused
    from rknn_ep.partitioning.plan_report import describe

    parsed = Options.parse(options)
    with collector_paused():
        made = describe(plan_model(model, parsed))
    _write_report(made, parsed)
    return made


def quantize(model: Source, output: str | Path, *, progress: Progress | None = None, **options: Any) -> Report:
    """Write the model with its NPU partitions quantised: QDQ ONNX that any ONNX Runtime runs.

    Raises:
        RknnEpError: as `compile`.
    """
    from rknn_ep.graph import serialize
    from rknn_ep.partitioning.plan_report import describe
    from rknn_ep.quantization.stitch import replace_partitions

    parsed = Options.parse(options)
    builds.require_calibration(parsed)
    plan = plan_model(model, parsed)
    if plan.precision == "fp16":
        raise CalibrationError(
            "nothing says how to quantise this model: precision is fp16",
            remedy="Give calibration data: --calibration FOLDER (20 to 200 pictures, or .npz/.npy arrays).",
        )
    [quantized], notes = _quantize([plan], parsed, plugins(), progress or _silent)
    parts = [(part, made) for part, made in zip(plan.partitions, quantized, strict=True) if made is not None]
    Path(output).write_bytes(serialize(replace_partitions(plan.view.model, parts)))
    made_report = describe(plan, sections={"quantization": notes})
    _write_report(made_report, parsed)
    return made_report


def camera_input(model: Source, output: str | Path, **how: Any) -> None:
    """Write the model with a uint8 NHWC picture input: a camera's pictures go in as they are.

    Args:
        model: as for `compile`; its picture input is float32 [N,C,H,W].
        output: where to write the ONNX model.
        **how: mean, std, color, picture, name, as `rknn_ep.graph.camera_input.with_camera_input` takes them.

    Raises:
        RknnEpError: the model has no picture input, or an argument does not fit it.
    """
    from rknn_ep.graph import serialize
    from rknn_ep.graph.camera_input import with_camera_input

    loaded = load_source(model, Options.parse({}))
    Path(output).write_bytes(serialize(with_camera_input(loaded, **how)))


# --------------------------------------------------------------------------------------------- the way


def build_from_bytes(model: bytes, options: Options, *, progress: Progress | None = None, ahead: Ahead | None = None) -> Build:
    """Build a serialised ONNX model, or find it built in the cache without even parsing it.

    `ahead`: not for a session here, but for devices that may be elsewhere.
    """
    if options.dynamic_input and ahead is None:
        raise OptionError(
            "dynamic_input is for models that are compiled ahead of time: a session's partitions have one shape",
            remedy="Use input_shapes here, or rknn-ep compile --dynamic-input and rknn_ep.runtime.Session.",
        )
    cache = Cache(options.cache_dir)
    chosen = _choose_compilers(options, plugins(), ahead)
    key = builds.build_key(hashlib.sha256(model).hexdigest(), options, cache, chosen, ahead)
    if (known := builds.find(key, options, cache)) is None:
        from rknn_ep.graph import load_model

        with cache.lock(key):  # taken only now: a warm start needs neither the lock nor what it imports
            if (known := builds.find(key, options, cache)) is None:
                return _build(load_model(model), options, key, cache, progress or _silent, chosen=chosen, ahead=ahead)
    _write_report(known.report, options)
    return known


def fall_back(built: Build, refused: Mapping[str, CompileError], options: Options) -> Build:
    """A build without the partitions that the device itself refused; the report, also the one that was written, says why.

    Args:
        built: what `build_from_bytes` gave.
        refused: partition -> what the device said to it.
        options: those of the build.
    """
    from rknn_ep.partitioning.fallback import without_partitions

    if not refused:
        return built
    told = without_partitions(built.report, {name: str(error) for name, error in refused.items()})
    notes = dict(told.sections.get("compilation", {}))
    notes |= {name: {**notes.get(name, {}), "error": str(error)} for name, error in refused.items()}
    told = replace(told, sections={**told.sections, "compilation": notes})
    _write_report(told, options)
    return replace(built, partitions=tuple(part for part in built.partitions if part.name not in refused), report=told)


def build(model: ir.Model, options: Options, *, progress: Progress | None = None, ahead: Ahead | None = None) -> Build:
    """Normalise, plan, quantise, compile and bundle `model`; what the cache holds already is taken from there."""
    from rknn_ep.graph import serialize

    return build_from_bytes(serialize(model), options, progress=progress, ahead=ahead)


def _build(
    model: ir.Model, options: Options, key: str, cache: Cache, progress: Progress, *, chosen: Chosen, ahead: Ahead | None
) -> Build:
    from rknn_ep.artifact.bundle import write_bundle
    from rknn_ep.partitioning.plan_report import describe

    manager = plugins()
    progress("planning", 0.0)
    plans = make_plans(model, options, manager)
    plan = plans[0]
    if options.strict:
        builds.refuse_fallback(describe(plan))
    models, notes = _quantize(plans, options, manager, progress)
    also = [manager.target(name) for name in (ahead.also_targets if ahead else ())]
    _require_precision(plan, also)
    requests = _requests(plans, models, options, manager)
    built: list[BuiltPartition] = []
    compile_notes: dict[str, Any] = {}
    results = compile_partitions(requests, chosen, also, progress)
    for part, made in zip(plan.partitions, results, strict=True):
        if made.error is not None:
            if options.strict:
                raise StrictError(f"{part.name} cannot be compiled and strict=1: {made.error}") from made.error
            compile_notes[part.name] = {"error": str(made.error)}
            log.warning("%s stays on the CPU: %s", part.name, made.error)
            continue
        _log_errors(part.name, made.notes)
        bundle = cache.put_bundle(
            f"{key}-{part.name}", partial(write_bundle, entries=made.entries, manifest=_manifest(plan, part))
        )
        native_text = made.entries["native.txt"].decode()
        built.append(BuiltPartition(part.name, part.origins, part.inputs, part.outputs, bundle, native_text))
        compile_notes |= {part.name: made.notes} if made.notes else {}
    if chosen.missing and plan.partitions:
        compile_notes["left_out"] = dict(chosen.missing)
        for name, why in chosen.missing.items():
            log.warning("without the compiler '%s' (%s) the result holds the simulation alone", name, why)
    progress("done", 1.0)
    sections = {"quantization": notes, "compilation": compile_notes}
    failed = {part.name: str(made.error) for part, made in zip(plan.partitions, results, strict=True) if made.error is not None}
    told = describe(plan, sections={name: section for name, section in sections.items() if section}, failed=failed)
    if all(made.error is None or made.error.lasting for made in results):  # what another try may bring is tried again
        builds.remember(key, built, told, cache)
    _write_report(told, options)
    return Build(plan.target, tuple(built), told, from_cache=False)


def plan_model(model: Source, options: Options, precision: str = "") -> Plan:
    """Plan a model as it comes, in any form that an importer reads; see `make_plan`."""
    loaded = _uncompiled(load_source(model, options))
    return make_plan(loaded, shape_options(loaded, options)[0], plugins(), precision)


def _uncompiled(model: ir.Model) -> ir.Model:
    """The model itself; ModelError where its partitions are EPContext nodes already: nothing says what is in them."""
    from rknn_ep.artifact.epcontext_reader import is_ours

    if compiled := [node.name for node in model.graph if is_ours(node)]:
        raise ModelError(
            f"the model is compiled already: '{compiled[0]}' is an EPContext node of rknn_ep",
            remedy="Give the model that it was made of. rknn-ep inspect shows what a compiled one holds, rknn-ep run runs it.",
        )
    return model


def shape_options(model: ir.Model, options: Options) -> list[Options]:
    """The options for each choice of input shapes, the one with the most elements first; without dynamic_input, just these.

    Raises:
        ShapeError: a choice does not fit the model's inputs.
    """
    if not options.dynamic_input:
        return [options]
    from rknn_ep.graph import normalize

    names = [value.name or "" for value in model.graph.inputs if value.name not in model.graph.initializers]
    chosen = [options.at_shapes(choice, names) for choice in options.dynamic_input]
    sizes = []
    for one in chosen:
        inputs = normalize(model, input_shapes=one.input_shapes, dimensions=one.dimensions).model.graph.inputs
        sizes.append(sum(math.prod(int(dim) for dim in value.shape or ()) for value in inputs))
    return [chosen[index] for index in sorted(range(len(chosen)), key=lambda index: -sizes[index])]


def make_plans(model: ir.Model, options: Options, manager: PluginManager) -> list[Plan]:
    """A plan for each choice of input shapes, the largest first; all of the same partitions.

    Raises:
        ShapeError: the choices are planned differently.
    """
    chosen = shape_options(model, options)
    plans = [make_plan(model, one, manager, consume=len(chosen) == 1) for one in chosen]
    borders = [[(part.name, part.inputs, part.outputs, part.origins) for part in plan.partitions] for plan in plans]
    for choice, border in zip(plans, borders, strict=True):
        if border != borders[0]:
            shapes = {value.name: [*value.shape] for value in choice.view.model.graph.inputs if value.shape is not None}
            raise ShapeError(
                f"dynamic_input: with the inputs {shapes} other nodes run on the NPU than with the largest choice",
                remedy="rknn-ep partition says which, with input_shapes; exclude_nodes or fewer choices make them the same.",
            )
    return plans


def make_plan(model: ir.Model, options: Options, manager: PluginManager, precision: str = "", *, consume: bool = True) -> Plan:
    """Normalise and partition: the first half of the way.

    Args:
        model: it is used up, unless `consume` is false.
        options: what the user asked for.
        manager: the plugins whose targets and rules count.
        precision: plan for it whether or not there is calibration data; by default what the options mean for the model.
        consume: false to leave `model` as it is, at the price of a copy.
    """
    from rknn_ep.graph import normalize
    from rknn_ep.partitioning.capability import unknown_exclusions
    from rknn_ep.partitioning.partitioner import plan

    target = manager.target(options.target)
    view = normalize(model, input_shapes=options.input_shapes, dimensions=options.dimensions, consume=consume)
    for sentence in unknown_exclusions(view, options.exclude_nodes, options.exclude_ops):
        log.warning("%s", sentence)
    return plan(
        view,
        target,
        precision or choose_precision(view, options, target),
        exclude_nodes=options.exclude_nodes,
        exclude_ops=options.exclude_ops,
        min_partition_macs=options.min_partition_macs,
        rules=manager.capabilities(),
        trim_native=not options.strict,
    )


def choose_precision(view: View, options: Options, target: Target) -> str:
    """What `precision=auto` means for this model, and whether the target can do what was asked.

    Raises:
        OptionError: the target does not compute in the precision asked for.
        CalibrationError: int8 is all that the target has, or what was asked for, and there is nothing to calibrate with.
    """
    from rknn_ep.quantization import is_quantized

    asked = options.precision
    if asked == "auto":
        if is_quantized(view) or (options.calibration is not None and "int8" in target.precisions):
            asked = "int8"
        elif "fp16" in target.precisions:
            asked = "fp16"
        else:
            raise CalibrationError(
                f"{target.name} has no floating point: the model must be quantised, and there is no calibration data",
                remedy="Set calibration to a folder of 20 to 200 pictures, a .npz, a .npy or a list file.",
            )
    if asked not in target.precisions:
        raise OptionError(f"{target.name} does not compute in {asked}: it has {', '.join(target.precisions)}")
    if asked != "fp16" and options.calibration is None and not is_quantized(view):
        raise CalibrationError(
            f"precision {asked} needs calibration data",
            remedy="Set calibration to a folder of 20 to 200 pictures, a .npz, a .npy or a list file, or use precision=fp16.",
        )
    return asked


def choose_runtime(options: Options, manager: PluginManager | None = None) -> Runtime:
    """The device that `device` names, or for `auto` the one that this machine is, else the best that is available.

    Raises:
        OptionError: it is not available here; the message says why. On a machine that is a device, `auto` never means another.
    """
    from rknn_ep.runtime.devices import choose_device

    return choose_device(options.device, manager)


# --------------------------------------------------------------------------------------------- steps


def _quantize(
    plans: Sequence[Plan], options: Options, manager: PluginManager, progress: Progress
) -> tuple[list[list[ir.Model | None]], dict[str, Any]]:
    """For each plan one quantised model a partition, or None for partitions that stay float."""
    from rknn_ep.quantization import quantize_plans

    if plans[0].precision == "fp16" or not plans[0].partitions:
        return [[None] * len(plan.partitions) for plan in plans], {}
    models, notes = quantize_plans(plans, options, manager, progress)
    for line in notes.get("advice", ()):
        log.warning("calibration: %s", line)
    return models, notes


def _requests(
    plans: Sequence[Plan], models: Sequence[Sequence[ir.Model | None]], options: Options, manager: PluginManager
) -> list[CompileRequest]:
    """One for each partition; its other input shapes are variants of it."""
    each = [
        [_request(plan, part, made, options, manager) for part, made in zip(plan.partitions, quantized, strict=True)]
        for plan, quantized in zip(plans, models, strict=True)
    ]
    return [replace(first, variants=tuple(others)) for first, *others in zip(*each, strict=True)]


def _request(plan: Plan, part: Partition, quantized: ir.Model | None, options: Options, manager: PluginManager) -> CompileRequest:
    from rknn_ep.graph import serialize
    from rknn_ep.partitioning.extract import cameras_of, extract
    from rknn_ep.quantization.plan import partition_samples

    model = quantized if quantized is not None else extract(plan.view, part)
    for value, name in zip(model.graph.inputs, part.inputs, strict=True):
        value.name = name  # a picture's pixels go by the name of the picture
    return CompileRequest(
        model=serialize(model),
        target=plan.target,
        precision=plan.precision,
        partition=part.name,
        groups=part.groups,
        options=builds.identity(options),
        float_model=lambda: serialize(extract(plan.view, part)),
        samples=partial(partition_samples, plan, part, options, manager) if options.calibration is not None else None,
        pictures=tuple(camera.picture for camera in cameras_of(plan.view, part)),
    )


def _require_precision(plan: Plan, also: Sequence[Target]) -> None:
    for target in also:
        if plan.precision not in target.precisions:
            raise OptionError(
                f"{target.name} does not compute in {plan.precision}, in which the model is compiled for {plan.target.name}: "
                f"it has {', '.join(target.precisions)}"
            )


def _log_errors(partition: str, notes: Mapping[str, Any]) -> None:
    for name, said in notes.items():
        if "error" in said:
            log.warning("%s, %s: %s", partition, name, said["error"])


def _manifest(plan: Plan, part: Partition) -> dict[str, Any]:
    return {
        "partition": part.name,
        "target": plan.target.name,
        "precision": plan.precision,
        "inputs": list(part.inputs),
        "outputs": list(part.outputs),
        "macs": part.macs,
        "weight_bytes": part.weight_bytes,
    }


def _choose_compilers(options: Options, manager: PluginManager, ahead: Ahead | None) -> Chosen:
    return choose_compilers(options, manager, "" if ahead else choose_runtime(options, manager).name, ahead)


# --------------------------------------------------------------------------------------------- small things


def _write_report(report: Report, options: Options) -> None:
    """Write to the file that the option `report` names: Markdown for .md, JSON for .json, else text."""
    import json

    if options.report is None:
        return
    suffix = options.report.suffix.lower()
    if suffix == ".json":
        text = json.dumps(report.to_dict(), indent=2)
    else:
        text = report.to_markdown() if suffix == ".md" else report.to_table()
    try:
        options.report.write_text(text)
    except OSError as error:
        raise RknnEpError(f"the report cannot be written to {options.report}: {error.strerror}") from error


def _silent(message: str, share: float) -> None:
    log.debug("%s (%d %%)", message, round(100 * share))
