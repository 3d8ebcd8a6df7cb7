"""What travels beside a bundle in a compiled module: key=value lines that say which bundle it is and how to run it.

`bundle` is the SHA-256 of its content, `target` the SoC; the rest are execution options. Nothing here needs TVM.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.native_text import NativeDescription, format_lines, parse_lines

EXECUTION_OPTIONS = ("device", "core_mask", "contexts", "io_mode", "simulation", "simulation_threads")
"""Options that a compiled module keeps."""

TVM_TYPES = {
    "FLOAT": "float32",
    "FLOAT16": "float16",
    "BFLOAT16": "bfloat16",
    "INT8": "int8",
    "UINT8": "uint8",
    "INT16": "int16",
    "UINT16": "uint16",
    "INT32": "int32",
    "UINT32": "uint32",
    "INT64": "int64",
    "BOOL": "bool",
}
"""ONNX name of an element type at a partition's border -> TVM's."""


def describe(content: bytes, target: str, options: Mapping[str, str]) -> str:
    """The lines for a bundle; options that are not for execution are left out."""
    kept = {name: value for name, value in sorted(options.items()) if name in EXECUTION_OPTIONS}
    return format_lines({"bundle": hashlib.sha256(content).hexdigest(), "target": target, **kept})


def parse(text: str) -> tuple[str, dict[str, str]]:
    """(SHA-256 of the bundle, options with the target)."""
    values = parse_lines(text, "the description of an RKNN partition")
    return values.pop("bundle", ""), values


def border_of(content: bytes) -> NativeDescription:
    """What a bundle says of its partition's border."""
    return NativeDescription.from_text(Bundle.from_bytes(content, verify=False).read("native.txt").decode())
