"""Our simulation, the vendor's, and float, side by side: for each output, and for each native operator alone.

result = verify_partition(bundle, samples, options)
result.outputs, result.layers
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from rknn_ep.artifact.bundle import Bundle
from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import CompileError, ExecutionError
from rknn_ep_toolkit2.agreement import Agreement
from rknn_ep_toolkit2.device import WEIGHTS, VendorSimulator, join, simulation_of
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.layers import Layer, LayerTable, assign, read_layers
from rknn_ep_toolkit2.reasons import reason
from rknn_ep_toolkit2.segments import FED, Cut, expose, find_cuts, sources, take_apart
from rknn_ep_toolkit2.settings import Settings
from rknn_ep_toolkit2.vendor_copy import VendorCopy, vendor_copy

log = logging.getLogger(__name__)
Array = np.ndarray[Any, Any]
Progress = Callable[[str, float], None]

EXACT_MODEL = "simulation_exact.onnx"
MOST_OUTPUTS = 32
"""Stored tensors that are looked at in one build of the vendor's simulator."""
MOST_BUILDS = 64
"""Where it dies of an output (SIGSEGV), halves are tried, and so on: so many builds at most; the rest is not looked at."""


@dataclass(frozen=True)
class Sample:
    """What a partition is run on."""

    inputs: Sequence[Array]
    """In the partition's order."""
    reference: Sequence[Array] | None = None
    """Its outputs in float32, where there is a float model."""


@dataclass
class OutputRow:
    """Two ways to compute an output."""

    output: str
    first: str
    """exact, fast, vendor or fp32."""
    second: str
    agreement: Agreement

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return {"output": self.output, "first": self.first, "second": self.second, **self.agreement.to_dict()}


@dataclass
class LayerRow:
    """One native operator, fed with what the vendor's simulator had: `exact` against the vendor's result."""

    tensor: str
    """The stored tensor that it makes."""
    native: str
    nodes: tuple[str, ...]
    """"Conv name" of each ONNX node between the stored tensors before and this one."""
    agreement: Agreement
    reason: str = ""
    """Why it differs; empty where all values are exact."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return {
            "tensor": self.tensor,
            "native": self.native,
            "nodes": list(self.nodes),
            **self.agreement.to_dict(),
            "reason": self.reason,
        }


@dataclass
class PartitionResult:
    """Everything about one partition."""

    partition: str
    target: str
    compiled_for: tuple[str, ...]
    """What the bundle serves; the target may be another one."""
    samples: int = 0
    outputs: list[OutputRow] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """Mean of one run, one thread: exact, fast, vendor."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-like."""
        return {
            "partition": self.partition,
            "target": self.target,
            "compiled_for": list(self.compiled_for),
            "samples": self.samples,
            "milliseconds": {name: round(1000 * value, 3) for name, value in self.seconds.items()},
            "outputs": [row.to_dict() for row in self.outputs],
            "layers": [row.to_dict() for row in self.layers],
        }


def verify_partition(
    bundle: Bundle,
    samples: Iterable[Sample],
    options: Mapping[str, str],
    *,
    layers: bool = True,
    progress: Progress = lambda message, share: None,
) -> PartitionResult:
    """Compare over `samples`.

    Args:
        bundle: with its simulation.
        samples: any number; each is run once by every simulation. All have a reference, or none has.
        options: as of a session; `target` another than the bundle's builds the vendor's for that.
        layers: whether every native operator is compared alone too, which builds the vendor's model once more.
        progress: called as it goes on.

    Raises:
        CompileError: the bundle has no simulation, or the toolkit does not build it.
    """
    return _Verification(bundle, options, layers, progress).run(samples)


class _Verification:
    def __init__(
        self,
        bundle: Bundle,
        options: Mapping[str, str],
        layers: bool,
        progress: Progress,
    ) -> None:
        self.description = NativeDescription.from_text(bundle.read("native.txt").decode(), bundle.origin)
        self.progress = progress
        target = options.get("target", self.description.target)
        settings = Settings.of(target, self.description.precision, options)
        simulation = simulation_of(bundle)
        exact = join(bundle.read(EXACT_MODEL), bundle.read(WEIGHTS)) if EXACT_MODEL in bundle.names else simulation
        self.result = PartitionResult(self.description.partition, target, self.description.targets)
        self.exact, self.fast = session(exact, optimized=False), session(simulation, optimized=True)
        progress("building for the vendor's simulator", 0.0)
        copy = vendor_copy(simulation, self.description.partition)
        try:
            self.vendor = VendorSimulator(copy, settings)
        except ToolkitError as error:
            raise _for_another_soc(error, target, self.description) from error
        self.parts: _Parts | None = None
        table = read_layers(self.vendor.log()) if layers else None
        if table is not None and copy.quantized:
            self.parts = _Parts(copy, exact, table, settings, self.vendor.parameters())
        self.rows: dict[tuple[str, str], list[Agreement]] = {}
        self.seen: list[Mapping[str, Array]] = []

    def _rows(self, with_reference: bool) -> dict[tuple[str, str], list[Agreement]]:
        scales = [one.scale if one.qtype == "INT8" else None for one in self.description.outputs]
        pairs = (("exact", "vendor"), ("fast", "vendor"), ("fast", "exact"))
        rows = {pair: [Agreement(scale) for scale in scales] for pair in pairs}
        if with_reference:
            rows |= {(one, "fp32"): [Agreement(None) for _ in scales] for one in ("exact", "fast", "vendor")}
        return rows

    def run(self, samples: Iterable[Sample]) -> PartitionResult:
        try:
            for number, sample in enumerate(samples):
                self.progress(f"sample {number + 1}", 0.5)
                self.rows = self.rows or self._rows(sample.reference is not None)
                self._sample(sample)
                self.result.samples += 1
        finally:
            self.vendor.close()
        if not self.result.samples:
            raise ExecutionError("there are no inputs to compare on")
        self.result.seconds = {name: value / self.result.samples for name, value in self.result.seconds.items()}
        for (first, second), agreements in self.rows.items():
            names = [one.name for one in self.description.outputs]
            self.result.outputs += [OutputRow(name, first, second, one) for name, one in zip(names, agreements, strict=True)]
        if self.parts is not None:
            try:
                self.parts.run(self.seen, self.progress)
                self.result.layers = self.parts.rows()
            except CompileError as error:
                log.warning("%s: operators are not compared one by one: %s", self.description.partition, error)
        return self.result

    def _sample(self, sample: Sample) -> None:
        inputs = sample.inputs
        names = [one.name for one in self.description.inputs]
        feeds = dict(zip(names, inputs, strict=True))
        results = {
            "exact": self._timed("exact", lambda: self.exact.run(None, feeds)),
            "fast": self._timed("fast", lambda: self.fast.run(None, feeds)),
            "vendor": self.vendor.run(inputs),
        }
        self.result.seconds["vendor"] = self.result.seconds.get("vendor", 0.0) + self.vendor.seconds
        if sample.reference is not None:
            results["fp32"] = list(sample.reference)
        for (first, second), agreements in self.rows.items():
            for a, b, agreement in zip(results[first], results[second], agreements, strict=True):
                agreement.add(a, b)
        self.seen.append(feeds)

    def _timed(self, name: str, function: Callable[[], list[Array]]) -> list[Array]:
        started = time.perf_counter()
        found = function()
        self.result.seconds[name] = self.result.seconds.get(name, 0.0) + time.perf_counter() - started
        return found


def _for_another_soc(error: ToolkitError, target: str, description: NativeDescription) -> ToolkitError:
    """Where a SoC refuses what was planned for others, the plan is to blame and not the node."""
    if target in description.targets or not error.refuses:
        return error
    return error.reworded(
        message=f"{description.partition} was compiled for {', '.join(description.targets)}, and cannot be for {target}: "
        f"{error.message}",
        remedy=f"Leave --target out, or compile the model for it: rknn-ep compile --target {target}.",
    )


class _Parts:
    """Every native operator alone."""

    def __init__(
        self,
        copy: VendorCopy,
        exact: bytes,
        table: LayerTable,
        settings: Settings,
        parameters: Mapping[str, Any] | None,
    ) -> None:
        self.copy, self.settings = copy, settings
        self.model = ir.from_proto(onnx.load_model_from_string(copy.content))
        rewritten = {name for name in copy.weights if parameters is not None and not parameters.get(name, {}).get("scale")}
        self.merged = {
            node.name for node in self.model.graph if any(value is not None and value.name in rewritten for value in node.inputs)
        }
        """Nodes whose weights the compiler replaced."""
        ours = ir.from_proto(onnx.load_model_from_string(exact))
        known = {value.name or "" for node in ours.graph for value in node.outputs}
        inputs = {value.name for value in self.model.graph.inputs}
        # What leaves the graph is stored as well; what comes in is rounded by the toolkit as by us.
        stored = {name for layer in table.layers for name in layer.inputs}
        stored |= {value.name or "" for value in self.model.graph.outputs}
        cuts = find_cuts(self.model, stored, known)
        self.cuts = tuple(cut for cut in cuts if cut.tensor not in inputs)
        self.ours, self.table = ours, table
        self.builds = 0
        self.agreements: dict[Cut, Agreement] = {}

    def run(self, samples: Sequence[Mapping[str, Array]], progress: Progress) -> None:
        """Count all samples. Tensors that the toolkit cannot give as outputs are left out: parts reach over them."""
        for start in range(0, len(self.cuts), MOST_OUTPUTS):
            progress(f"stored tensors {start} to {min(start + MOST_OUTPUTS, len(self.cuts))} of {len(self.cuts)}", 0.6)
            self._see(self.cuts[start : start + MOST_OUTPUTS], samples)
        self.cuts = tuple(self.agreements)

    def _see(self, cuts: Sequence[Cut], samples: Sequence[Mapping[str, Array]]) -> None:
        """Compare what the vendor's simulator has in some of its stored tensors with ours, in the graph's order.

        What our parts are fed with is seen in the same build: what is an output changes how the compiler fuses what stays
        float16, so that values of two builds do not belong together.
        """
        if self.builds >= MOST_BUILDS:
            log.info("%d stored tensors are not looked at: %d builds were made for others", len(cuts), self.builds)
            return
        self.builds += 1
        known = [*self.agreements, *cuts]
        feeding = [cut for cut in sources(self.ours, known, cuts) if cut not in cuts]
        try:
            found = self._values([*feeding, *cuts], samples)
        except CompileError as error:
            if not error.refuses:
                raise
            if len(cuts) == 1:
                log.info("'%s' cannot be looked at: %s", cuts[0].tensor, error)
            else:
                self._see(cuts[: len(cuts) // 2], samples)
                self._see(cuts[len(cuts) // 2 :], samples)
            return
        apart = session(ir.to_proto(take_apart(self.ours, [*feeding, *cuts], cuts)).SerializeToString(), optimized=False)
        wanted = {item.name for item in apart.get_inputs()}
        self.agreements |= {cut: Agreement(cut.scale) for cut in cuts}
        for feeds, values in zip(samples, found, strict=True):
            codes = {f"{cut.codes}{FED}": cut.to_codes(values[cut.seen]) for cut in (*feeding, *cuts)}
            given = {name: array for name, array in {**feeds, **codes}.items() if name in wanted}
            for cut, ours in zip(cuts, apart.run(None, given), strict=True):
                theirs = codes[f"{cut.codes}{FED}"]
                self.agreements[cut].add(ours.astype(np.float32) * cut.scale, theirs.astype(np.float32) * cut.scale)

    def _values(self, cuts: Sequence[Cut], samples: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        """The dequantised values of `cuts` for each sample. The process that gives them may die while it builds or runs."""
        content = ir.to_proto(expose(self.model, cuts)).SerializeToString()
        vendor = VendorSimulator(VendorCopy(content, self.copy.parameters, self.copy.weights, True), self.settings)
        try:
            results = (vendor.run([feeds[name] for name in vendor.input_names]) for feeds in samples)
            return [dict(zip(vendor.output_names, result, strict=True)) for result in results]
        finally:
            vendor.close()

    def rows(self) -> list[LayerRow]:
        """One for each stored tensor, in the graph's order."""
        found = []
        for (cut, agreement), (native, nodes) in zip(
            self.agreements.items(), _between(self.model, self.cuts, self.table), strict=True
        ):
            merged = any(node.partition(" ")[2] in self.merged for node in nodes)
            why = reason(native, nodes, 1 - agreement.share_exact, merged) if agreement.exact < agreement.count else ""
            found.append(LayerRow(cut.tensor, native, nodes, agreement, why))
        return found


def _between(model: ir.Model, cuts: Sequence[Cut], table: LayerTable) -> list[tuple[str, tuple[str, ...]]]:
    """(native operators, ONNX nodes) between each cut and those before it."""
    owners: dict[str, list[Layer]] = {}
    for index, names in assign(model, table).items():
        layer = next(one for one in table.layers if one.index == index)
        for name in names:
            owners.setdefault(name, []).append(layer)
    values = {value.name: value for node in model.graph for value in node.outputs}
    ends = {cut.codes for cut in cuts}
    found = []
    for cut in cuts:
        nodes: dict[str, str] = {}
        waiting = [values[cut.codes]]
        first = True
        while waiting:
            value = waiting.pop()
            maker = value.producer()
            if maker is None or (value.name in ends and not first):
                continue
            first = False
            if maker.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                nodes[maker.name or ""] = f"{maker.op_type} {maker.name}"
            waiting += [source for source in maker.inputs if source is not None]
        natives = dict.fromkeys(layer.native for name in reversed(nodes) for layer in owners.get(name, ()))
        found.append((", ".join(natives), tuple(reversed(nodes.values()))))
    return found


def session(model: bytes, *, optimized: bool) -> Any:
    """An ONNX Runtime session with one thread, as the simulator has it."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 3
    settings.intra_op_num_threads = 1
    settings.add_session_config_entry("session.x64quantprecision", "1")
    if not optimized:
        settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
