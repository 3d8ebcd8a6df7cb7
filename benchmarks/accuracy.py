"""Int8 against float32 on real models: every calibration method, weights per channel and per layer.

16 samples calibrate, others test; the mean cosine of the outputs and the share of equal top-1 rows are shown beside those of
`onnxruntime.quantization` (MinMax, per channel) on the same normalised model with the same samples. PP-OCR det counts pictures
with text only: without text its map is nearly zero, and a cosine says nothing.

python -m benchmarks.accuracy             the table of docs/quantization.md
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from benchmarks import accuracy_data as data
from benchmarks import models
from benchmarks.results import Row
from rknn_ep.graph import load_model, serialize
from rknn_ep.options import Options
from rknn_ep.pipeline import make_plan
from rknn_ep.plugins import plugins
from rknn_ep.quantization.metrics import cosine, top1_agreement
from rknn_ep.quantization.plan import calibrate_plan, equalized_plan, quantize_parts
from rknn_ep.quantization.qdq import scheme_for
from rknn_ep.quantization.stitch import replace_partitions
from tests.models import MINILM

Sample = Mapping[str, np.ndarray[Any, Any]]
PEER = "onnxruntime.quantization"
REC, CLS = "PP-OCRv4 rec", "PP-OCR cls"
FURTHER_LINES = 400


@dataclass(frozen=True)
class Case:
    """A model, what calibrates it and what tests it."""

    name: str
    path: Path
    input_shapes: str
    calibration: Sequence[Sample]
    test: Sequence[Sample]
    goal: float | None = None
    precision: str = "int8"


@dataclass(frozen=True)
class Score:
    """How near a quantised model comes to its float model."""

    cosine: float
    worst: float
    top1: float


def run(quick: bool = False) -> Iterator[Row]:
    methods = ["mmse"] if quick else sorted(plugins().calibrators())
    for case in cases(quick):
        _even.clear()
        plan = make_plan(load_model(case.path), options(case), plugins())
        wanted = outputs(serialize(plan.view.model), case.test)
        peer = onnxruntime_quantization(plan.view.model, case)
        reference = score(wanted, outputs(peer, case.test)) if peer else None
        for method in methods:
            for per_channel in (True, False):
                made = score(wanted, outputs(quantized(plan, case, method, per_channel), case.test))
                head = f"{case.name}, {method}, per {'channel' if per_channel else 'layer'}"
                note = f"worst {made.worst:.3f}, top-1 {made.top1:.1%}" + (f"; peer {reference.top1:.1%}" if reference else "")
                goal = f"at least {case.goal}" if case.goal else ""
                peer_value = reference.cosine if reference else None
                yield Row("accuracy", head, "cosine", made.cosine, "", PEER if reference else "", peer_value, goal, note)


def cases(quick: bool) -> Iterator[Case]:
    """The models, with 16 samples to calibrate (8 when in a hurry) and others to test."""
    from rknn_ep.assets import fetch
    from rknn_ep.demo.assets import PPOCR_CLS, PPOCR_DET, PPOCR_REC

    known, unknown = 8 if quick else 16, 12 if quick else 32
    photographs, other_photographs = data.photographs()
    signs, other_signs = data.scene_text()
    detector = fetch(PPOCR_DET)
    detect = _runner(detector.read_bytes())

    def with_text(pictures: Sequence[Any], count: int) -> list[Sample]:
        found = ({"x": data.detector_input(picture)} for picture in pictures)
        return list(islice((sample for sample in found if (detect(sample)[0] > 0.3).mean() > 0.005), count))

    # Half photographs of signs, half photographs with words written on them.
    seen = with_text(data.crops(signs, 2 * known, 2), known // 2 if signs else 0)
    seen += with_text(data.written_text(2 * known, 1), known - len(seen))
    other = with_text(data.crops(other_signs, 2 * unknown, 3), unknown // 2 if other_signs else 0)
    other += with_text(data.written_text(2 * unknown, 7), unknown - len(other))
    yield Case("PP-OCRv4 det", detector, "x:1,3,480,480", seen, other, 0.99)
    signs, other_signs = signs or data.written_text(8, 2), other_signs or data.written_text(8, 8)

    rec, cls = fetch(PPOCR_REC), fetch(PPOCR_CLS)
    seen, other = _lines(detect, signs, known, 5), _lines(detect, other_signs, unknown, 6)
    yield Case(REC, rec, "x:1,3,48,320", _line_inputs(seen, REC), _line_inputs(other, REC), 0.988)
    yield Case(CLS, cls, "x:1,3,48,192", _line_inputs(seen, CLS), _line_inputs(other, CLS), 0.995)
    if (path := models.efficientnet_lite0()) is not None:
        name = load_model(path).graph.inputs[0].name or ""
        seen = [{name: data.classifier_input(picture)} for picture in data.crops(photographs, known, 0)]
        # Many: one picture more or less of 64 would be 1.6 % of top-1.
        other = [{name: data.classifier_input(picture)} for picture in data.crops(other_photographs, 8 * unknown, 1)]
        yield Case("EfficientNet-Lite0", path, "", seen, other, 0.995)
    if (path := transformer()) is not None:
        unknown //= 2
        texts = data.sentences(fetch(MINILM), known + unknown)
        yield Case(
            "all-MiniLM-L6-v2",
            path,
            "",
            texts[:: len(texts) // known][:known],
            [text for i, text in enumerate(texts) if i % (len(texts) // known)],
        )


def further_lines(name: str) -> list[Sample]:
    """More lines of the test pictures, from other crops, for rec and cls, where a few say little; else none."""
    from rknn_ep.assets import fetch
    from rknn_ep.demo.assets import PPOCR_DET

    if name not in (REC, CLS):
        return []
    seed = 77 if name == REC else 66
    signs = data.scene_text()[1] or data.written_text(8, 8)
    return _line_inputs(_lines(_runner(fetch(PPOCR_DET).read_bytes()), signs, FURTHER_LINES, seed, crops=FURTHER_LINES), name)


def _lines(detect: Any, pictures: Sequence[Any], count: int, seed: int, crops: int = 24) -> list[Any]:
    """At most `count` lines that the detector finds, from all of the pictures."""
    cut = list(data.text_lines(data.crops(pictures, crops, seed), lambda array: detect({"x": array})[0]))
    return [cut[index * len(cut) // count] for index in range(count)] if len(cut) > count else cut


def _line_inputs(lines: Sequence[Any], name: str) -> list[Sample]:
    """As PP-OCR feeds them; every second one upside down for cls, which tells the two apart."""
    if name == REC:
        return [{"x": data.line_input(line, 320)} for line in lines]
    return [{"x": data.line_input(line.rotate(180 * (index % 2)), 192)} for index, line in enumerate(lines)]


def transformer() -> Path | None:
    """all-MiniLM-L6-v2 as ONNX, or None with a line on stderr that says what is missing."""
    from _pytest.outcomes import Skipped

    from tests.models import minilm

    try:
        return minilm()
    except Skipped as reason:
        print(f"  all-MiniLM-L6-v2 is left out: {reason}", file=sys.stderr)
        return None


def options(case: Case) -> Options:
    """What plans the case; the samples are handed over directly."""
    given = {"target": "rk3588", "precision": case.precision, "calibration": "."}
    return Options.parse(given | ({"input_shapes": case.input_shapes} if case.input_shapes else {}))


def quantized(plan: Any, case: Case, method: str, per_channel: bool) -> bytes:
    """The whole model with its partitions quantised."""
    even, seen = _calibrated(plan, case, method, per_channel)
    made = quantize_parts(even, seen, scheme_for(case.precision, per_channel))
    parts = [(part, result.model) for part, result in zip(plan.partitions, made, strict=True)]
    return serialize(replace_partitions(plan.view.model, parts))


_even: dict[tuple[int, bool], Any] = {}


def _calibrated(plan: Any, case: Case, method: str, per_channel: bool) -> Any:
    executor = plugins().float_executors()["onnxruntime"]
    scheme = scheme_for(case.precision, per_channel)
    if (id(plan), per_channel) not in _even:  # the same for every method
        _even[id(plan), per_channel] = equalized_plan(plan, case.calibration, scheme, executor)[0]
    even = _even[id(plan), per_channel]
    return even, calibrate_plan(even, case.calibration, plugins().calibrators()[method], scheme, float_executor=executor)


def onnxruntime_quantization(model: ir.Model, case: Case) -> bytes | None:
    """The peer: static quantisation of the normalised model, per channel, uint8 activations, int8 weights."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._samples = iter(case.calibration)

        def get_next(self) -> Any:
            return next(self._samples, None)

    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "quantized.onnx"
        before.write_bytes(serialize(model))
        try:
            kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
            quantize_static(before, after, Reader(), per_channel=True, **kinds)
        except Exception as error:  # noqa: BLE001  a peer that fails is left out, and said so
            print(f"  {PEER} fails on {case.name}: {type(error).__name__}: {error}", file=sys.stderr)
            return None
        return after.read_bytes()


def _runner(model: bytes) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = 2
    # Without VNNI the faster kernels of AVX2 saturate, and the figures would be the machine's.
    settings.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    return lambda sample: session.run(None, dict(sample))


def outputs(model: bytes, samples: Sequence[Sample]) -> list[list[np.ndarray[Any, Any]]]:
    """All outputs for all samples."""
    runner = _runner(model)
    return [runner(sample) for sample in samples]


def score(wanted: Sequence[Sequence[Any]], got: Sequence[Sequence[Any]]) -> Score:
    """Means over samples and outputs, and the worst cosine."""
    pairs = [(a, b) for first, second in zip(wanted, got, strict=True) for a, b in zip(first, second, strict=True)]
    cosines = [cosine(a, b) for a, b in pairs]
    return Score(float(np.mean(cosines)), float(np.min(cosines)), float(np.mean([top1_agreement(a, b) for a, b in pairs])))


def main() -> None:
    """Print the table of the documentation."""
    rows: dict[str, dict[str, Row]] = {}
    for row in run(quick="--quick" in sys.argv):
        name, method, weights = row.case.split(", ")
        rows.setdefault(f"{method} {weights}", {})[name] = row
        print(
            f"{row.case}: {row.value:.4f} ({row.note}), {PEER} {row.peer_value or float('nan'):.4f}", file=sys.stderr, flush=True
        )
    names = list(next(iter(rows.values())))
    print(f"| method, weights | {' | '.join(names)} |\n|---|{'--:|' * len(names)}")
    for head, cells in rows.items():
        print(f"| {head} | {' | '.join(f'{cells[name].value:.4f}' for name in names)} |")
    peers = [next(iter(rows.values()))[name].peer_value for name in names]
    print(f"| {PEER}, per channel | {' | '.join('fails' if value is None else f'{value:.4f}' for value in peers)} |")


if __name__ == "__main__":
    main()
