"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

FEATURES = ("avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx_vnni", "avx512_fp16", "amx_int8", "asimddp", "i8mm", "fphp")
"""CPU features that decide how fast float, int8 and half precision are: VNNI and dot product above all."""


def describe_machine() -> dict[str, str]:
    """CPU, its features, cores, kernel and the versions of what is compared."""
    info = _cpuinfo()
    flags = set(info.get("flags", info.get("Features", "")).split())
    return {
        "CPU": info.get("model name", platform.processor() or platform.machine()),
        "features": " ".join(name for name in FEATURES if name in flags) or "none of interest",
        "cores usable": str(len(os.sched_getaffinity(0))),
        "load at start": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
        **{name: _version(name) for name in ("rknn-ep", "onnxruntime", "onnx", "onnx-ir", "numpy")},
    }


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
