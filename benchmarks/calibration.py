"""Calibrating PP-OCRv4 det at 640x640: time and peak memory against `onnxruntime.quantization` with the same method.

Each measurement is a process of its own. The float model is the same normalised one on both sides, with two threads; what is
timed begins with the model in memory and ends with the ranges. The peer keeps every activation of every sample until the end
for its histograms (entropy, percentile), so these two are compared on 10 samples; ours runs 100 as well, to show that its memory
stays where it is. How near the quantised models come to the float model is the accuracy benchmark's.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results import Row

SIZE = 640
PEER = "onnxruntime.quantization"
METHODS = {"minmax": "MinMax", "percentile": "Percentile", "kl_divergence": "Entropy", "mmse": ""}
"""Ours -> the peer's of the same idea."""


def run(quick: bool = False) -> Iterator[Row]:
    many, few = (20, 4) if quick else (100, 10)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, many)
        for method, peer_method in METHODS.items():
            peer_count = many if method == "minmax" else few
            peer = measured(folder, "peer", peer_method, peer_count) if peer_method else None
            for count in (many, few):
                ours = measured(folder, "ours", method, count)
                beside = peer if peer and count == peer_count else None
                case = f"det {SIZE}x{SIZE}, {method}, {count} samples"
                shown = f"{PEER}, {peer_method}" if beside else ""
                goal = "below the peer's" if beside else ""
                yield Row("calibration", case, "time", ours["seconds"], "s", shown, beside and beside["seconds"], goal)
                yield Row(
                    "calibration", case, "peak memory", ours["megabytes"], "MB", shown, beside and beside["megabytes"], goal
                )


def prepare(folder: Path, count: int) -> None:
    """The normalised float model and the samples, as files."""
    from benchmarks import accuracy_data as data
    from rknn_ep.assets import fetch
    from rknn_ep.demo.assets import PPOCR_DET
    from rknn_ep.graph import load_model, normalize, serialize

    view = normalize(load_model(fetch(PPOCR_DET)), input_shapes={"x": (1, 3, SIZE, SIZE)})
    (folder / "float.onnx").write_bytes(serialize(view.model))
    pictures = data.crops([picture for half in data.scene_text() for picture in half], count, 9)
    for index, picture in enumerate(pictures):
        np.save(folder / f"{index}.npy", data.detector_input(picture, SIZE))


def measured(folder: Path, side: str, method: str, count: int) -> dict[str, Any]:
    """Run one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.calibration", side, str(folder), method, str(count)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def ours(folder: Path, method: str, count: int) -> None:
    """Our calibration of everything that the quantiser needs."""
    import onnx_ir as ir

    from rknn_ep.plugins import plugins
    from rknn_ep.quantization.calibrate import calibrate
    from rknn_ep.quantization.correction import ChannelMeans, correctable
    from rknn_ep.quantization.qdq import tensors_to_observe

    model = ir.load(folder / "float.onnx")
    names, bounds = tensors_to_observe(model)
    calibrate(
        model,
        names,
        _Samples(folder, count),
        plugins().calibrators()[method],
        float_executor=plugins().float_executors()["onnxruntime"],
        bounds=bounds,
        means=ChannelMeans(correctable(model)),
        threads=2,
    )


def peer(folder: Path, method: str, count: int) -> None:
    """The peer's calibration of every tensor, which is what its `quantize_static` does."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, create_calibrator

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._samples = iter(_Samples(folder, count))

        def get_next(self) -> Any:
            return next(self._samples, None)

    calibrator = create_calibrator(
        folder / "float.onnx",
        augmented_model_path=str(folder / "augmented.onnx"),
        calibrate_method=CalibrationMethod[method],
        extra_options={"symmetric": False},
    )
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 2
    calibrator.infer_session = onnxruntime.InferenceSession(
        str(folder / "augmented.onnx"), settings, providers=["CPUExecutionProvider"]
    )
    calibrator.collect_data(Reader())
    calibrator.compute_data()


class _Samples:
    def __init__(self, folder: Path, count: int) -> None:
        self._files = [folder / f"{index}.npy" for index in range(count)]

    def __len__(self) -> int:
        return len(self._files)

    def __iter__(self) -> Iterator[dict[str, np.ndarray[Any, Any]]]:
        return ({"x": np.load(file)} for file in self._files)


def _peak() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024 / 1e6


if __name__ == "__main__":
    side, folder, method, count = sys.argv[1:]
    started = time.perf_counter()
    {"ours": ours, "peer": peer}[side](Path(folder), method, int(count))
    print(json.dumps({"seconds": time.perf_counter() - started, "megabytes": _peak()}))
