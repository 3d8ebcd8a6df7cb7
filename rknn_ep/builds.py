"""What a build is, what identifies it, and how the cache keeps it: no model is looked at here.

A build's bundles and its plan (which nodes they replace, the report) lie in the cache under one key. Everything that shapes a
bundle is part of the key; nothing else is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rknn_ep.artifact.cache import Cache
from rknn_ep.compilation import Ahead, Chosen
from rknn_ep.errors import CalibrationError, StrictError
from rknn_ep.options import Options
from rknn_ep.plugins import plugins
from rknn_ep.records import Target

if TYPE_CHECKING:
    from rknn_ep.partitioning.report import Report

RUN_TIME_OPTIONS = (
    "device",
    "cache_dir",
    "report",
    "core_mask",
    "contexts",
    "io_mode",
    "simulation",
    "simulation_threads",
)
"""Options that do not change what is compiled, and so are no part of a bundle's identity."""


@dataclass(frozen=True)
class BuiltPartition:
    """A partition that is compiled and lies in the cache."""

    name: str
    origins: tuple[int, ...]
    """Indices of the original graph's nodes that it replaces."""
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bundle: Path
    native_text: str
    """What native code needs to bind it: the lines of native.txt."""


@dataclass(frozen=True)
class Build:
    """Everything that `build` made of one model."""

    target: Target
    partitions: tuple[BuiltPartition, ...]
    report: Report
    from_cache: bool


def build_key(model_hash: str, options: Options, cache: Cache, chosen: Chosen, ahead: Ahead | None = None) -> str:
    """Identity of a build: the model, the calibration data's content, the options and the versions that shape it."""
    from importlib.metadata import version

    from rknn_ep.artifact.hashing import content_hash
    from rknn_ep.partitioning.report import FORMAT

    manager = plugins()
    parts = [f"model={model_hash}", f"report={FORMAT}"]
    # Where the calibration data lies is no part of what it is.
    parts += [f"{name}={value}" for name, value in sorted(identity(options).items()) if name != "calibration"]
    require_calibration(options)
    if options.calibration is not None:
        parts.append(f"calibration-content={content_hash(options.calibration, cache.directory)}")
        parts.append(f"onnxruntime={version('onnxruntime')}")
    parts += [f"plugin:{origin.plugin}={origin.distribution}-{origin.version}" for origin in manager.origins()]
    parts += chosen.versions()
    if ahead is not None and ahead.also_targets:
        parts.append(f"also={','.join(ahead.also_targets)}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def require_calibration(options: Options) -> None:
    """Before anything is done for it: a path that was mistyped is no reason to go on without data.

    Raises:
        CalibrationError: the options name calibration data that is not there.
    """
    if options.calibration is not None and not options.calibration.exists():
        raise CalibrationError(
            f"there is no calibration data at {options.calibration}", remedy="Give a folder, .npz, .npy or list file."
        )


def identity(options: Options) -> dict[str, str]:
    """The options that change what is compiled, as text."""
    text = options.as_text()
    text["target"] = options.target
    return {name: value for name, value in text.items() if name not in RUN_TIME_OPTIONS}


def find(key: str, options: Options, cache: Cache) -> Build | None:
    """The build of this key, or None where the cache does not hold all of it.

    Raises:
        StrictError: it is there, a node of it runs on the CPU, and strict=1.
    """
    from rknn_ep.partitioning.report import Report

    entry = cache.get_plan(key)
    if entry is None:
        return None
    partitions = []
    for item in entry["partitions"]:
        bundle = cache.get_bundle(item["bundle"])
        if bundle is None:
            return None
        partitions.append(
            BuiltPartition(
                item["name"], tuple(item["origins"]), tuple(item["inputs"]), tuple(item["outputs"]), bundle, item["native_text"]
            )
        )
    report = Report.from_dict(entry["report"])
    if options.strict:
        refuse_fallback(report)
    return Build(plugins().target(options.target), tuple(partitions), report, from_cache=True)


def remember(key: str, partitions: Sequence[BuiltPartition], report: Report, cache: Cache) -> None:
    """Write a build down, once its bundles are in the cache."""
    parts = [asdict(part) | {"bundle": part.bundle.stem} for part in partitions]
    cache.put_plan(key, {"partitions": parts, "report": report.to_dict()})


def refuse_fallback(report: Report) -> None:
    """What strict=1 asks for.

    Raises:
        StrictError: a node runs on the CPU without having been excluded.
    """
    if (node := report.fallback()) is None:
        return
    remedy = "Name it in exclude_nodes or exclude_ops, or set strict=0."
    if node.reason in ("cost", "min_partition_macs"):
        remedy = "Set min_partition_macs=0, which keeps partitions of any size, name it in exclude_nodes, or set strict=0."
    raise StrictError(
        f"{node.op_type} '{node.name}' would run on the CPU and strict=1 ({node.reason}: {node.detail})", remedy=remedy
    )
