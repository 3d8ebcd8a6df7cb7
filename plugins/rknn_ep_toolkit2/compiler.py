"""From a partition to `<target>.rknn`: the compiler `toolkit2`.

The partition's own quantisation is kept: what goes to the toolkit is its QDQ model, written as the toolkit imports it
(`vendor_copy`). Only what it cannot import, 16-bit integers and 4-bit weights, and what the user wants quantised by the
vendor (`quantizer=toolkit2`) goes as a float model with calibration data.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from rknn_ep.artifact.rknn_file import RknnMetadata, read_metadata
from rknn_ep.errors import ArtifactError, CompileError
from rknn_ep.records import CompileRequest, CompileResult
from rknn_ep_toolkit2.dataset import dataset_files
from rknn_ep_toolkit2.environment import current
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.isolate import locate
from rknn_ep_toolkit2.layers import LayerTable, describe, read_layers
from rknn_ep_toolkit2.parameters import compare
from rknn_ep_toolkit2.settings import Settings
from rknn_ep_toolkit2.vendor_copy import VendorCopy, vendor_copy
from rknn_ep_toolkit2.worker import JobResult, workers

OUTPUT = "model.rknn"
COMPANION = ("simulation.onnx", "simulation.data")
"""What identifies a companion: the entries of the bundle that the simulator runs."""


def available() -> str:
    """Empty where the toolkit is installed, else what is missing."""
    try:
        current()
    except ToolkitError as error:
        return f"{error.message}. {error.remedy}" if error.remedy else error.message
    return ""


def version() -> str:
    """Of the compiler here and of the toolkit: either changes what is written."""
    return f"2+rknn-toolkit2-{current().version}"


def custom_string(partition: str, entries: Mapping[str, bytes]) -> str:
    """What a .rknn says about its companion: `rknn_ep:1 partition=<name> bundle=<sha256>`.

    The SHA-256 is that of simulation.onnx followed by simulation.data. Format: docs/bundle.md.
    """
    digest = hashlib.sha256()
    for name in COMPANION:
        digest.update(entries.get(name, b""))
    return f"rknn_ep:1 partition={partition} bundle={digest.hexdigest()}"


def compile_partition(request: CompileRequest) -> CompileResult:
    """Compile for `request.target`; the notes say what became of every parameter and node.

    Raises:
        OptionError: an unknown option `toolkit2.*`, or a value that it does not take.
        ToolkitError: the toolkit is missing, refuses the partition, or died of it.
        CompileError: a precision or option that the SoC or the toolkit has not, or no calibration data where it is needed.
    """
    settings = Settings.of(request.target.name, request.precision, request.options)
    settings = replace(settings, custom_string=custom_string(request.partition, request.entries))
    by_vendor = vendor_quantises(request, settings)
    origin = f"{request.partition} for {request.target.name}"
    copy = vendor_copy(request.float_model() if by_vendor else request.model, origin)
    files: dict[str, bytes] = {}
    dataset = dataset_files(_samples(request), files) if by_vendor else []
    try:
        job = _build(copy.content, settings, dataset, files, settings.timeout, request.cancel, second_try=True)
    except ToolkitError as error:
        keep = request.options.get("keep_failing")
        attempt = partial(attempt_piece, settings=settings, by_vendor=by_vendor, cancel=request.cancel)
        known = [node.name for node in onnx.load_model_from_string(request.model).graph.node]
        folder = Path(keep) if keep else None
        found = locate(copy.content, attempt, error, name=origin, keep=folder, known=known, seconds=settings.timeout)
        raise _for_socs_without_float(found, request) from error
    if OUTPUT not in job.files:
        raise ToolkitError(f"{origin}: RKNN-Toolkit2 says that it built a model and wrote none", kind="none", log=job.log)
    content = job.files[OUTPUT]
    return CompileResult({f"{request.target.name}.rknn": content}, _notes(copy, job, content, settings, by_vendor, origin))


def vendor_quantises(request: CompileRequest, settings: Settings) -> bool:
    """Whether the toolkit quantises by itself: it was asked to, or it imports no QDQ model of this kind."""
    if request.precision == "fp16" and settings.weight_bits == 8:
        return False
    return settings.weight_bits == 4 or request.precision == "int16" or request.options.get("quantizer") == "toolkit2"


def _build(
    model: bytes,
    settings: Settings,
    dataset: list[list[str]],
    files: Mapping[str, bytes],
    seconds: float,
    cancel: threading.Event,
    *,
    second_try: bool = False,
) -> JobResult:
    """Let the toolkit build `model`; with a dataset it quantises by itself."""
    return workers().run(
        "build",
        {
            "model": "model.onnx",
            "output": OUTPUT,
            "config": settings.config(bool(dataset)),
            "quantize": bool(dataset),
            "dataset": dataset,
        },
        files={**files, "model.onnx": model},
        collect=[OUTPUT],
        timeout=seconds,
        memory_limit=settings.memory_limit,
        cancel=cancel,
        second_try=second_try,
    )


def _for_socs_without_float(error: ToolkitError, request: CompileRequest) -> ToolkitError:
    """Where a SoC refuses what was left float for another one, the plan is to blame and not the node."""
    if "fp16" not in request.target.precisions and "float16" in error.said:
        name = request.target.name
        return error.reworded(remedy=f"{name} has no float: plan for it, target={name}, and the others as also_targets.")
    return error


def attempt_piece(
    piece: bytes, seconds: float, *, settings: Settings, by_vendor: bool, cancel: threading.Event
) -> ToolkitError | None:
    """How a piece of a partition that failed fails, or None: it builds. Calibrated with noise: its tensors were never seen."""
    files: dict[str, bytes] = {}
    dataset = dataset_files([_noise(piece)], files) if by_vendor else []
    try:
        _build(piece, settings, dataset, files, min(seconds, settings.timeout), cancel)
    except ToolkitError as error:
        return error
    return None


def _noise(model: bytes) -> list[np.ndarray[Any, Any]]:
    """One array for each input of a model with static shapes, in [0, 1)."""
    arrays = []
    for value in ir.from_proto(onnx.load_model_from_string(model)).graph.inputs:
        assert value.shape is not None and value.dtype is not None
        values = np.random.default_rng(0).random(value.shape.numpy())
        arrays.append(values.astype(value.dtype.numpy()))
    return arrays


def _samples(request: CompileRequest) -> Iterable[Sequence[np.ndarray[Any, Any]]]:
    if request.samples is None:
        raise CompileError(
            f"{request.partition}: RKNN-Toolkit2 quantises this by itself and needs calibration data",
            remedy="Set calibration to a folder of 20 to 200 pictures, a .npz, a .npy or a list file.",
        )
    return request.samples()


def _notes(copy: VendorCopy, job: JobResult, content: bytes, settings: Settings, by_vendor: bool, origin: str) -> dict[str, Any]:
    metadata = _metadata(content, origin)
    table = read_layers(job.log)
    notes: dict[str, Any] = {
        "toolkit": job.values.get("toolkit", ""),
        "target": settings.target,
        "quantized_by": "the vendor" if by_vendor else "rknn_ep" if copy.quantized else "nobody: float16",
        "bytes": len(content),
        "seconds": round(job.seconds, 2),
        "peak_memory": job.peak_memory,
        **copy.notes,
    }
    if job.crashed_before:
        notes["crashed_before"] = job.crashed_before
    if by_vendor:
        notes["quantization"] = {"dtype": settings.dtype, "algorithm": settings.algorithm}
        notes["simulation"] = "computes with rknn_ep's quantisation, not with the vendor's: expect other numbers on the board"
    elif copy.quantized:
        check = compare(copy, job.values.get("parameters"), metadata, _stored(table))
        notes["parameters"] = check.to_dict()
    if table is not None:
        notes |= describe(ir.from_proto(onnx.load_model_from_string(copy.content)), table)
    return notes


def _stored(table: LayerTable | None) -> set[str] | None:
    return None if table is None else {name for layer in table.layers for name in layer.inputs}


def _metadata(content: bytes, origin: str) -> RknnMetadata | None:
    """What the file says; None for those of rv1106 and its kin, which describe themselves in another format."""
    try:
        return read_metadata(content, origin)
    except ArtifactError:
        return None
