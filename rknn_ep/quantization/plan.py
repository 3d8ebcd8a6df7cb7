"""Quantise the partitions of a plan: one calibration run of the whole model serves them all."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import onnx_ir as ir

from rknn_ep.errors import CalibrationError, NotInstalledError, OptionError, nearest
from rknn_ep.graph.facts import tensor_facts
from rknn_ep.options import Options
from rknn_ep.partitioning.extract import extract
from rknn_ep.partitioning.partitioner import Plan
from rknn_ep.plugins import PluginManager
from rknn_ep.quantization.affine import Range
from rknn_ep.quantization.calibrate import calibrate
from rknn_ep.quantization.correction import ChannelMeans, correctable
from rknn_ep.quantization.existing import holds_quantized_nodes, to_qdq
from rknn_ep.quantization.qdq import quantize, scheme_for, tensors_to_observe
from rknn_ep.quantization.samples import open_samples
from rknn_ep.records import FloatExecutor


def quantize_plan(
    plan: Plan, options: Options, manager: PluginManager, progress: Callable[[str, float], None]
) -> tuple[list[ir.Model | None], dict[str, Any]]:
    """A quantised model for every partition, and what the report should say about them.

    A model that arrives quantised keeps its scales: its partitions are extracted, QOperator nodes become QDQ, nothing is
    calibrated.

    Raises:
        CalibrationError: calibration data is missing or does not fit.
        NotInstalledError: no float executor can run the model here.
    """
    if holds_quantized_nodes(plan.view.model):
        return [to_qdq(extract(plan.view, part)) for part in plan.partitions], {"scales": "the model's own"}
    if options.calibration is None:
        raise CalibrationError(f"precision {plan.precision} needs calibration data", remedy="Set the option calibration.")
    scheme = scheme_for(plan.precision, options.per_channel)
    parts = [extract(plan.view, part) for part in plan.partitions]
    wanted = [tensors_to_observe(model, part.groups) for model, part in zip(parts, plan.partitions, strict=True)]
    names = list(dict.fromkeys(name for found, _ in wanted for name in found))
    bounds: dict[str, Range] = {}
    for _, found in wanted:
        bounds |= found
    calibrator = manager.calibrators().get(options.calibration_method)
    if calibrator is None:
        raise OptionError(
            f"unknown calibration method '{options.calibration_method}': "
            f"{nearest(options.calibration_method, manager.calibrators())}"
        )
    samples = open_samples(
        options.calibration,
        [tensor_facts(value) for value in plan.view.model.graph.inputs],
        mean=options.mean,
        std=options.std,
        color=options.color,
        resize=options.resize,
    )
    means = ChannelMeans(name for model in parts for name in correctable(model))
    ranges = calibrate(
        plan.view.model,
        names,
        samples,
        calibrator,
        scheme.activations,
        float_executor=_float_executor(manager),
        options=options.plugin,
        bounds=bounds,
        means=means,
        threads=len(os.sched_getaffinity(0)),
        progress=lambda done, total: progress(f"calibrating: sample {done} of {total}", done / total),
    )
    progress("quantising", 0.0)
    made = [
        quantize(model, ranges, groups=part.groups, scheme=scheme, means=means.means())
        for model, part in zip(parts, plan.partitions, strict=True)
    ]
    notes = {
        "method": calibrator.name,
        "samples": len(samples),
        "advice": list(samples.advice),
        "partitions": {part.name: dict(result.notes) for part, result in zip(plan.partitions, made, strict=True)},
    }
    return [result.model for result in made], notes


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
