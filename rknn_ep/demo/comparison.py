"""The demo's work: one photo read twice by PP-OCR, on the CPU in float and on the simulated NPU, and everything compared."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from rknn_ep.demo.calibration import OPTIONS, write_calibration
from rknn_ep.demo.ocr import CLS_SIZE, DET_SIZE, REC_SIZE, Word, cut_out, det_input, detect, line_input, read_text
from rknn_ep.quantization.metrics import cosine

if TYPE_CHECKING:
    from rknn_ep.demo.ocr import Floats, Pixels, Session
    from rknn_ep.partitioning.report import Report

Progress = Callable[[str, float], None]


@dataclass(frozen=True)
class Network:
    """One of the three networks and how it runs on the NPU."""

    name: str
    task: str
    precision: str
    size: tuple[int, int]


NETWORKS = (
    Network("det", "text detection", "int8", DET_SIZE),
    Network("cls", "orientation", "int8", CLS_SIZE),
    # Recognition chooses among 6,625 characters: the vendor's model zoo runs it in fp16 as well.
    Network("rec", "recognition", "fp16", REC_SIZE),
)


@dataclass(frozen=True)
class NetworkResult:
    """What became of one network."""

    network: Network
    report: Report
    """What runs where and why."""
    cosine: float
    """Mean over the inputs that the photo gave it: NPU against float CPU."""
    npu_milliseconds: float
    cpu_milliseconds: float
    preparation_seconds: float
    """Creating the session: planning, calibrating, quantising, compiling; nearly nothing from the cache."""


@dataclass(frozen=True)
class DemoResult:
    """Both readings and the comparison of the networks."""

    cpu_words: list[Word]
    npu_words: list[Word]
    networks: list[NetworkResult]

    @property
    def same(self) -> bool:
        """Whether both read the same characters, and any at all; for a space see `characters`."""
        cpu, npu = ([characters(word.text) for word in words] for words in (self.cpu_words, self.npu_words))
        return bool(cpu) and cpu == npu


def characters(text: str) -> str:
    """`text` without spaces: in a line of capitals, this recognition network gives a space hardly more score than none."""
    return "".join(text.split())


def compare(
    image: Pixels,
    models: Mapping[str, Path],
    options: Mapping[str, str],
    *,
    npu: Callable[[Path, Mapping[str, str]], Any],
    cpu: Callable[[Path], Any],
    progress: Progress,
) -> DemoResult:
    """Read `image` (RGB [height, width, 3] uint8) on both and compare.

    Args:
        image: the photo.
        models: paths of det, cls and rec.
        options: provider options for all three, such as target and cache_dir.
        npu: (model, provider options) -> an onnxruntime.InferenceSession with the provider.
        cpu: (model) -> one on the CPU.
        progress: told what is going on.
    """
    from rknn_ep.partitioning.report import Report

    with tempfile.TemporaryDirectory(prefix="rknn_ep-demo-") as name:
        folder = Path(name)
        progress("drawing calibration pictures", 0.05)
        data = write_calibration(folder)
        cpu_sessions = {network.name: cpu(models[network.name]) for network in NETWORKS}
        npu_sessions, reports, seconds = {}, {}, {}
        for index, network in enumerate(NETWORKS):
            progress(f"preparing {network.task} in {network.precision}", 0.1 + 0.25 * index)
            started = perf_counter()
            own = _options(network, cpu_sessions[network.name], data, folder) | dict(options)
            npu_sessions[network.name] = npu(models[network.name], own)
            seconds[network.name] = perf_counter() - started
            reports[network.name] = Report.from_dict(json.loads((folder / f"{network.name}.json").read_text()))
    progress("reading", 0.85)
    inputs = _inputs(image, cpu_sessions["det"])
    results = []
    for network in NETWORKS:
        feeds = inputs[network.name]
        expected, cpu_time = _run(cpu_sessions[network.name], feeds)
        found, npu_time = _run(npu_sessions[network.name], feeds)
        similar = float(np.mean([cosine(a, b) for a, b in zip(found, expected, strict=True)])) if feeds else 1.0
        results.append(NetworkResult(network, reports[network.name], similar, npu_time, cpu_time, seconds[network.name]))
    words = [read_text(image, *(sessions[network.name] for network in NETWORKS)) for sessions in (cpu_sessions, npu_sessions)]
    progress("done", 1.0)
    return DemoResult(words[0], words[1], results)


def _options(network: Network, session: Any, data: Mapping[str, Path], folder: Path) -> dict[str, str]:
    height, width = network.size
    options = {
        "precision": network.precision,
        "input_shapes": f"{session.get_inputs()[0].name}:1,3,{height},{width}",
        "report": str(folder / f"{network.name}.json"),
    }
    return options | ({"calibration": str(data[network.name]), **OPTIONS} if network.precision != "fp16" else {})


def _inputs(image: Pixels, det: Session) -> dict[str, list[Floats]]:
    """What each network is given for this photo: the whole, and each line that the CPU finds in it."""
    patches = [cut_out(image, box) for box in detect(image, det)]
    return {
        "det": [det_input(image, DET_SIZE)[0]],
        "cls": [line_input(patch, CLS_SIZE) for patch in patches],
        "rec": [line_input(patch, REC_SIZE) for patch in patches],
    }


def _run(session: Any, inputs: list[Floats]) -> tuple[list[Any], float]:
    """Outputs and median milliseconds."""
    name = session.get_inputs()[0].name
    outputs, times = [], []
    for tensor in inputs:
        session.run(None, {name: tensor})
        started = perf_counter()
        outputs.append(session.run(None, {name: tensor})[0])
        times.append(1000 * (perf_counter() - started))
    return outputs, median(times) if times else 0.0
