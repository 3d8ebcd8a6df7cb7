"""Quantise the partitions of a plan: one calibration run of the whole model serves them all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import CalibrationError, NotInstalledError, OptionError, nearest
from rknn_ep.graph import to_float32
from rknn_ep.graph.facts import tensor_facts
from rknn_ep.graph.float32 import half_border, narrow_border
from rknn_ep.options import Options
from rknn_ep.partitioning.extract import cameras_of, extract
from rknn_ep.partitioning.partitioner import Partition, Plan
from rknn_ep.plugins import PluginManager
from rknn_ep.quantization.affine import Range
from rknn_ep.quantization.calibrate import SampleSource, calibrate, in_single_precision, with_outputs
from rknn_ep.quantization.correction import ChannelMeans, correctable
from rknn_ep.quantization.equalization import Joint, Loudness, equalize, joints
from rknn_ep.quantization.existing import holds_quantized_nodes, to_qdq
from rknn_ep.quantization.qdq import QuantizedModel, Scheme, quantize, scheme_for, tensors_to_observe
from rknn_ep.quantization.samples import Samples, open_samples
from rknn_ep.records import Calibrator, FloatExecutor

EQUALIZING_SAMPLES = 8
"""How many samples the channels of tensors are compared on, before the run that measures ranges over all."""


def quantize_plans(
    plans: Sequence[Plan], options: Options, manager: PluginManager, progress: Callable[[str, float], None]
) -> tuple[list[list[ir.Model | None]], dict[str, Any]]:
    """A quantised model for every partition of every plan, and what the report should say about them.

    A model that arrives quantised keeps its scales: its partitions are extracted, QOperator nodes become QDQ, nothing is
    calibrated.

    Args:
        plans: of one model, with the same partitions, at different input shapes. The first is calibrated, the others get its
            scales and weights: that is how Rockchip's toolkit does it, whose largest shape counts.
        options: the method, where the data is, and how pictures become inputs.
        manager: the calibrators and float executors.
        progress: called as the work goes on.

    Raises:
        CalibrationError: calibration data is missing or does not fit.
        NotInstalledError: no float executor can run the model here.
    """
    plan = plans[0]
    if holds_quantized_nodes(plan.view.model):
        return [[to_qdq(extract(one.view, part)) for part in one.partitions] for one in plans], {"scales": "the model's own"}
    if options.calibration is None:
        raise CalibrationError(f"precision {plan.precision} needs calibration data", remedy="Set the option calibration.")
    method = options.calibration_method
    calibrator = manager.calibrators().get(method)
    if calibrator is None:
        raise OptionError(f"unknown calibration method '{method}': {nearest(method, manager.calibrators())}")
    samples = _open_samples(plan, options.calibration, options)
    scheme = replace(
        scheme_for(plan.precision, options.per_channel),
        everything="fp16" not in plan.target.precisions,
        smallest_share=plan.target.smallest_weight_share,
    )
    executor = _float_executor(manager)
    loudness: dict[str, np.ndarray[Any, Any]] = {}
    even, equalized = equalized_plan(plan, samples, scheme, executor, loudness)
    seen = calibrate_plan(
        even,
        samples,
        calibrator,
        scheme,
        float_executor=executor,
        options=options.plugin,
        progress=lambda done, total: progress(f"calibrating: sample {done} of {total}", done / total),
    )
    progress("quantising", 0.0)
    made = quantize_parts(even, seen, scheme)
    narrowed = [_narrowed(plan, made)]
    for other in plans[1:]:
        narrowed.append(_narrowed(other, quantize_parts(_evened(other, loudness, scheme)[0], seen, scheme)))
    notes = {
        "method": method,
        "samples": len(samples),
        "advice": list(samples.advice),
        "equalized": equalized,
        "partitions": {part.name: dict(result.notes) for part, result in zip(plan.partitions, made, strict=True)},
    }
    return narrowed, notes


def _open_samples(plan: Plan, path: Path, options: Options) -> Samples:
    """The calibration data for the plan's graph; inputs with a default value (initializers among the inputs) keep it."""
    inputs = plan.view.model.graph.inputs
    samples = open_samples(
        path,
        [tensor_facts(value) for value in inputs if not value.is_initializer()],
        mean=options.mean,
        std=options.std,
        color=options.color,
        resize=options.resize,
    )
    defaults = {value.name or "": value.const_value.numpy() for value in inputs if value.const_value is not None}
    return samples.beside(defaults) if defaults else samples


def _narrowed(plan: Plan, made: Sequence[QuantizedModel]) -> list[ir.Model | None]:
    """The models, with float16 at their borders where the plan's graph has it."""
    for part, result in zip(plan.partitions, made, strict=True):
        narrow_border(result.model, half_border(extract(plan.view, part)))
    return [result.model for result in made]


def equalized_plan(
    plan: Plan,
    samples: SampleSource,
    scheme: Scheme,
    float_executor: FloatExecutor,
    found: dict[str, np.ndarray[Any, Any]] | None = None,
) -> tuple[Plan, list[str]]:
    """The plan over a float32 copy of its graph in which loud and quiet channels are nearer to each other.

    All values keep their names and all nodes their places. What comes out is what `calibrate_plan` and `quantize_parts` take.

    Args:
        plan: it is left as it is.
        samples: the first few of them are looked at.
        scheme: the grids.
        float_executor: runs them.
        found: takes up how loud each tensor's channels are.

    Returns:
        (the plan, names of the tensors whose channels were scaled).
    """
    model = to_float32(plan.view.model, keep_border=False)
    joined = _joints(plan, model)
    loudness = Loudness({joint.tensor: joint.axis for joint in joined})
    if joined:
        _measure(model, islice(samples, EQUALIZING_SAMPLES), loudness, float_executor)
    if found is not None:
        found.update(loudness.found)
    return _evened(plan, loudness.found, scheme, model)


def _evened(
    plan: Plan, loudness: Mapping[str, np.ndarray[Any, Any]], scheme: Scheme, model: ir.Model | None = None
) -> tuple[Plan, list[str]]:
    """The plan over a copy of its graph whose channels are scaled by what is known of their loudness; `model`: the copy."""
    model = model or to_float32(plan.view.model, keep_border=False)
    done = [
        joint.tensor
        for joint in _joints(plan, model)
        if joint.tensor in loudness and equalize(joint, loudness[joint.tensor], scheme.per_channel) is not None
    ]
    nodes = list(model.graph)
    view = replace(
        plan.view, model=model, nodes=tuple(replace(old, node=node) for old, node in zip(plan.view.nodes, nodes, strict=True))
    )
    return replace(plan, view=view), done


def _joints(plan: Plan, model: ir.Model) -> list[Joint]:
    nodes = list(model.graph)
    return list(joints(model.graph, [[nodes[index] for index in part.nodes] for part in plan.partitions]))


def _measure(
    model: ir.Model, samples: Iterator[Mapping[str, np.ndarray[Any, Any]]], loudness: Loudness, executor: FloatExecutor
) -> None:
    payload: bytes = ir.to_proto(model).SerializeToString()
    runner = executor.create(payload, list(loudness.axes), len(os.sched_getaffinity(0)))
    for sample in samples:
        for name, values in runner.run(in_single_precision(sample)):
            loudness.observe(name, values)


@dataclass(frozen=True)
class Calibration:
    """What the samples showed."""

    ranges: Mapping[str, Range]
    means: Mapping[str, np.ndarray[Any, Any]]
    """Channel means of what feeds convolutions and Gemms."""


def calibrate_plan(
    plan: Plan,
    samples: SampleSource,
    calibrator: Calibrator,
    scheme: Scheme,
    *,
    float_executor: FloatExecutor,
    options: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Run the samples through the whole model, and look at what the partitions need."""
    names: dict[str, None] = {}
    bounds: dict[str, Range] = {}
    averaged: set[str] = set()
    for part in plan.partitions:
        model = extract(plan.view, part)
        wanted, limits = tensors_to_observe(model, part.groups, scheme.everything)
        names |= dict.fromkeys(wanted)
        bounds |= limits
        averaged |= correctable(model)
    means = ChannelMeans(averaged)
    ranges = calibrate(
        plan.view.model,
        list(names),
        samples,
        calibrator,
        scheme.activations,
        float_executor=float_executor,
        options=options,
        bounds=bounds,
        means=means,
        threads=len(os.sched_getaffinity(0)),
        progress=progress,
    )
    # What a byte can hold is known, and one step a grey level is exact: the codes are the pixels.
    pixels = {camera.pixels: Range(0.0, 255.0) for part in plan.partitions for camera in cameras_of(plan.view, part)}
    return Calibration({**ranges, **pixels}, means.means())


def quantize_parts(plan: Plan, seen: Calibration, scheme: Scheme) -> list[QuantizedModel]:
    """The plan's partitions, quantised."""
    return [
        quantize(extract(plan.view, part), seen.ranges, groups=part.groups, scheme=scheme, means=seen.means)
        for part in plan.partitions
    ]


def partition_samples(
    plan: Plan, part: Partition, options: Options, manager: PluginManager
) -> Iterator[list[np.ndarray[Any, Any]]]:
    """The calibration data as a partition sees it: for each sample its inputs in order, computed in float where they are inner.

    Raises:
        CalibrationError, NotInstalledError: as `quantize_plans`.
    """
    if options.calibration is None:
        raise CalibrationError("there is no calibration data", remedy="Set the option calibration.")
    graph = plan.view.model.graph
    samples = _open_samples(plan, options.calibration, options)
    pictures = {camera.picture for camera in cameras_of(plan.view, part)}
    inner = [name for name in part.inputs if name not in {value.name for value in graph.inputs}]
    model = None
    if inner:
        wanted = with_outputs(plan.view.model, inner)
        model = _float_executor(manager).create(wanted, inner, len(os.sched_getaffinity(0)))
    for sample in samples:
        found = dict(sample)
        if model is not None:
            found |= dict(model.run(sample))
        # A compiler's model begins at the pixels of a picture.
        yield [
            found[name].transpose(0, 3, 1, 2).astype(np.float32) if name in pictures else np.asarray(found[name])
            for name in part.inputs
        ]


def _float_executor(manager: PluginManager) -> FloatExecutor:
    """The first float executor, by name, that can run here."""
    reasons = []
    for name, executor in sorted(manager.float_executors().items()):
        if not (why := executor.available()):
            return executor
        reasons.append(f"{name}: {why}")
    raise NotInstalledError(
        f"no float executor can run the model for calibration ({'; '.join(reasons) or 'no plugin provides one'})",
        remedy="Install onnxruntime: python -m pip install onnxruntime.",
    )
