"""Run the float model over the calibration samples and turn what its tensors held into clipping ranges."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx_ir as ir

from rknn_ep.errors import CalibrationError
from rknn_ep.graph.values import static_shape
from rknn_ep.quantization.affine import Range
from rknn_ep.quantization.correction import ChannelMeans
from rknn_ep.quantization.statistics import extremes
from rknn_ep.quantization.turns import Turns
from rknn_ep.records import Calibrator, ExtremesObserver, FloatExecutor, FloatModel, QuantizationType, RangeObserver

Array = np.ndarray[Any, Any]
ASYMMETRIC_INT8 = QuantizationType(8)
FLOAT_BYTES = 4
AT_ONCE_BYTES = 2 << 30
"""What the tensors of all samples that run at the same time may take together."""


class SampleSource(Protocol):
    """Calibration samples: re-iterable, each a mapping of input name to array."""

    def __len__(self) -> int:
        """How many samples there are."""

    def __iter__(self) -> Iterator[Mapping[str, Array]]:
        """The samples, loaded as they are asked for."""


def calibrate(
    model: ir.Model,
    tensors: Sequence[str],
    samples: SampleSource,
    calibrator: Calibrator,
    grids: Mapping[str, QuantizationType] | QuantizationType = ASYMMETRIC_INT8,
    *,
    float_executor: FloatExecutor,
    options: Mapping[str, str] | None = None,
    bounds: Mapping[str, Range] | None = None,
    means: ChannelMeans | None = None,
    threads: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Range]:
    """Find the clipping range of every tensor in `tensors`.

    All of them come out of one run of the model per sample; memory does not grow with the number of samples. The ranges do not
    depend on `threads`.

    Args:
        model: the float model with static shapes.
        tensors: names of float32 values of its main graph, inputs included.
        samples: what to run.
        calibrator: the method.
        grids: the grid of each tensor, or one for all; tensors without one get asymmetric int8.
        float_executor: runs the model.
        options: the options of plugins, handed to the calibrator.
        bounds: values outside do not matter to whoever reads the tensor and are moved to the bound before they are
            counted: the input of a HardSwish below -3.
        means: counts channel means of the tensors it names on the way.
        threads: how many may work; as many samples run at the same time.
        progress: called with (samples done, samples in all, every pass counted).

    Raises:
        CalibrationError: there are no samples, or a tensor is not finite; names the tensor and the sample.
    """
    if len(samples) == 0:
        raise CalibrationError("there are no calibration samples", remedy="Give at least 20 typical inputs.")
    names = list(dict.fromkeys(tensors))
    inputs = {value.name for value in model.graph.inputs}
    averaged = means.names if means else frozenset[str]()
    wanted = dict.fromkeys([*names, *sorted(averaged)])
    given, computed = tuple(name for name in wanted if name in inputs), [name for name in wanted if name not in inputs]
    workers = _workers(model, computed, threads)
    float_model = float_executor.create(with_outputs(model, computed), computed, threads // workers) if computed else None
    observers = {name: calibrator.create(_grid_of(grids, name), options or {}) for name in names}
    with ThreadPoolExecutor(workers) as pool:
        for number in range(calibrator.passes):
            seen = _Observation(observers, bounds or {}, means if number == 0 else None, Turns(), given)
            for done in _run(float_model, samples, seen, pool, workers):
                if progress:
                    progress(number * len(samples) + done, calibrator.passes * len(samples))
            for observer in observers.values():
                observer.end_pass()
        ranges = list(pool.map(lambda name: _range_of(observers[name], name, calibrator), names))
    return dict(zip(names, ranges, strict=True))


def _workers(model: ir.Model, computed: Collection[str], threads: int) -> int:
    """How many samples run at the same time: as many as there are threads, as long as what they compute fits."""
    values = {value.name: value for node in model.graph for value in node.outputs}
    size = sum(math.prod(static_shape(values[name]) or ()) * FLOAT_BYTES for name in computed if name in values)
    return max(1, min(threads, AT_ONCE_BYTES // max(size, 1)))


def in_single_precision(sample: Mapping[str, Array]) -> dict[str, Array]:
    """A sample with float32 where it holds float16: calibration runs in one float type."""
    return {name: values.astype(np.float32) if values.dtype == np.float16 else values for name, values in sample.items()}


def with_outputs(model: ir.Model, names: Iterable[str]) -> bytes:
    """The model with exactly the tensors `names` as its outputs, serialised."""
    copy = model.clone()
    values = {value.name: value for node in copy.graph for value in node.outputs}
    missing = [name for name in names if name not in values]
    if missing:
        raise CalibrationError(f"the model has no tensor '{missing[0]}' to calibrate")
    copy.graph.outputs.clear()
    copy.graph.outputs.extend(values[name] for name in names)
    payload: bytes = ir.to_proto(copy).SerializeToString()
    return payload


@dataclass(frozen=True)
class _Observation:
    """Where the tensors of one sample are counted."""

    observers: Mapping[str, RangeObserver]
    bounds: Mapping[str, Range]
    means: ChannelMeans | None
    turns: Turns
    given: tuple[str, ...]
    """Those among them that are inputs of the model."""

    def count(self, name: str, values: Array, index: int) -> None:
        """Count a tensor of sample `index` when it is its turn."""
        values = np.ascontiguousarray(values, np.float32)
        # They are NaN or infinite exactly when some value is.
        low, high = extremes(values) if values.size else (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high)):
            kind = "NaN" if math.isnan(low) or math.isnan(high) else "infinity"
            raise CalibrationError(
                f"tensor '{name}' holds {kind} on calibration sample {index}",
                remedy="Look at the sample and at mean and std: inputs must be on the scale that the model was trained on.",
            )
        with self.turns.turn(name, index):
            if self.means is not None:
                self.means.observe(name, values)
            if name in self.observers:
                self._observe(name, values, low, high)

    def _observe(self, name: str, values: Array, low: float, high: float) -> None:
        limits, observer = self.bounds.get(name), self.observers[name]
        outside = limits is not None and (low < limits.minimum or high > limits.maximum)
        if isinstance(observer, ExtremesObserver):
            ends = [low, high] if limits is None else np.clip([low, high], limits.minimum, limits.maximum)
            observer.observe_extremes(float(ends[0]), float(ends[1]))
            return
        if limits is not None and outside:
            values = np.clip(values, np.float32(limits.minimum), np.float32(limits.maximum))
        observer.observe(values)


def _run(
    float_model: FloatModel | None, samples: SampleSource, seen: _Observation, pool: ThreadPoolExecutor, workers: int
) -> Iterator[int]:
    """Run every sample, `workers` of them at a time; how many are done, after each.

    A sample to itself has one thread from beginning to end: operators that are split over threads wait for each other, and
    between them there is always something that cannot be split.
    """
    pending: deque[Future[None]] = deque()
    done = 0
    for index, sample in enumerate(samples):
        pending.append(pool.submit(_run_sample, float_model, in_single_precision(sample), seen, index))
        if len(pending) > workers:  # one more than can run has been read from its file by then
            pending.popleft().result()
            yield (done := done + 1)
    while pending:
        pending.popleft().result()
        yield (done := done + 1)


def _run_sample(float_model: FloatModel | None, sample: Mapping[str, Array], seen: _Observation, index: int) -> None:
    try:
        for name in seen.given:
            seen.count(name, sample[name], index)
        # Arrays are counted as they come and given back at once, so that a big model needs no more than its own activations.
        for name, values in float_model.run(sample) if float_model else ():
            seen.count(name, values, index)
    except BaseException:
        seen.turns.fail(index)
        raise


def _grid_of(grids: Mapping[str, QuantizationType] | QuantizationType, name: str) -> QuantizationType:
    return grids if isinstance(grids, QuantizationType) else grids.get(name, ASYMMETRIC_INT8)


def _range_of(observer: RangeObserver, name: str, calibrator: Calibrator) -> Range:
    low, high = observer.range()
    if not (math.isfinite(low) and math.isfinite(high) and low <= 0.0 <= high):
        raise CalibrationError(
            f"calibration method '{calibrator.name}' gave the range {low} .. {high} for tensor '{name}'; "
            f"a range is finite and holds zero"
        )
    return Range(low, high)
