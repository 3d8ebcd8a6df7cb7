"""Peak memory of loading a compiled model whose partitions lie beside it (embed mode 0), against the size of that payload.

Each load is a process of its own; what is counted is how far its peak (VmHWM) rises above what the process took once a trivial
model was loaded the same way. At most 1.5 times the payload is the goal. ONNX Runtime packs float weights, those of a Conv twice:
its own row shows it. From 128 MB on the simulator lets a Conv read its weights from the bundle's file, which is mapped: pages of
it become resident, clean ones, only when the model runs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import onnx

import rknn_ep
from benchmarks import models, sessions
from benchmarks.results import Row

LOAD = """
import sys
import onnxruntime as ort
import rknn_ep

def peak(field="VmHWM"):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(field))

provider = sys.argv[2]
if provider != "CPUExecutionProvider":
    rknn_ep.register()
warm_up = ort.InferenceSession(sys.argv[3], providers=[provider])
before = peak("VmRSS")
session = ort.InferenceSession(sys.argv[1], providers=[provider])
print(peak() - before)
"""


def run(quick: bool = False) -> Iterator[Row]:
    with sessions.folder() as folder:
        original, compiled, trivial = folder / "heavy.onnx", folder / "heavy_ctx.onnx", folder / "trivial.onnx"
        options = {"target": "rk3588", "precision": "fp16", "min_partition_macs": 0, "cache_dir": folder / "cache"}
        onnx.save(models.trivial(), folder / "float.onnx")
        rknn_ep.compile(folder / "float.onnx", trivial, **options)
        for op_type in ("MatMul", "Conv"):
            onnx.save(models.heavy(64 if quick else 256, op_type), original)
            for mode in (0, 1):
                rknn_ep.compile(original, compiled, embed_mode=mode, **options)
                files = list(folder.glob("heavy_ctx*"))
                payload = sum(path.stat().st_size for path in files) / 1e6
                peak = load(compiled, rknn_ep.get_ep_name(), trivial)
                goal = "at most 1.5" if mode == 0 else ""
                yield Row(
                    "memory", f"{op_type}, embed mode {mode}", "peak while loading", peak, "MB", "the payload", payload, goal
                )
                for path in files:
                    path.unlink()
            size = original.stat().st_size / 1e6
            peak = load(original, "CPUExecutionProvider", folder / "float.onnx")
            yield Row("memory", f"{op_type}, ORT CPU, the float model", "peak while loading", peak, "MB", "its file", size)


def load(model: Path, provider: str, trivial: Path) -> float:
    """Megabytes by which a new process's peak rises while it loads `model`, after `trivial`."""
    command = [sys.executable, "-c", LOAD, str(model), provider, str(trivial)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(result.stdout.split()[-1]) * 1024 / 1e6
