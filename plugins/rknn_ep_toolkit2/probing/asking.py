"""One configuration through the real compiler, in the very form in which rknn_ep hands an operator over.

    answer = ask(prepare(configuration, target, "int8"))
    answer.unit, answer.native, answer.why

The form: normalised, written out where `lowering` does so, at int8 as the QDQ model that `quantization` makes of it. There an
operator that only moves data is as its neighbours are, and one without an integer form stays float between them on SoCs
with float16: such an operator is asked between two neighbours (Abs), which are left out of the answer.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import onnx_ir as ir

from rknn_ep.graph import View, normalize, serialize
from rknn_ep.graph.load import load_model
from rknn_ep.graph.wiring import wire
from rknn_ep.partitioning.extract import extract
from rknn_ep.partitioning.partitioner import Partition
from rknn_ep.partitioning.patterns import native_groups
from rknn_ep.quantization.affine import Range
from rknn_ep.quantization.operators import Role, role
from rknn_ep.quantization.qdq import quantize, scheme_for, tensors_to_observe
from rknn_ep.records import Target
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.layers import Layer, read_layers
from rknn_ep_toolkit2.probing.configuration import Configuration
from rknn_ep_toolkit2.settings import Settings
from rknn_ep_toolkit2.vendor_copy import vendor_copy
from rknn_ep_toolkit2.worker import workers

LAYOUT = frozenset({"Reshape", "Transpose", "exDataConvert", "Expand", "Pad"})
"""Native operators that the compiler puts around others. On the CPU side beside what is computed on the NPU they make a
finding `mixed`."""
RESHAPES = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze"})
CONVERSION = "exDataConvert"
"""From one memory layout or type to another: where there is nothing else, nothing of the operator is left."""
NO_WORK = frozenset({"Reshape", CONVERSION})
"""Those that are no work of the NPU's by themselves."""
NEIGHBOUR = "neighbour_of_"
_OF_NEIGHBOURS = NO_WORK | {"LeakyRelu", "Transpose"}
"""What a neighbour itself becomes, and what is put around it. Others are called after a neighbour where they begin."""
SECONDS = 120.0
"""Most builds take one, on a busy machine ten; what takes this long hangs, and is refused."""


@dataclass(frozen=True)
class Question:
    """A configuration as the compiler gets it."""

    name: str
    view: View
    model: bytes
    settings: Settings
    quantized: bool
    """At int8: whether any of it computes with integers; else it stays in float16 there."""


@dataclass(frozen=True)
class Answer:
    """What the compiler did."""

    unit: str
    """npu; mixed: computed on the NPU, data moved by the CPU side; cpu; folded: nothing is left to compute; refused; crashed:
    its process died; unmeasured: our limits stopped it."""
    native: tuple[str, ...] = ()
    """Native operators in the order of the layer table."""
    cpu: tuple[str, ...] = ()
    """Those on the CPU side, where others are not."""
    cycles: int = 0
    """The compiler's estimate."""
    kilobytes: float = 0.0
    """Read and written, its estimate."""
    why: str = ""
    """Its words, where it refused."""
    quantized: bool = False
    """As `Question.quantized`."""

    def same_as(self, other: Answer) -> bool:
        """Whether the compiler did the same, whatever it would cost."""
        return (self.unit, self.native, self.cpu) == (other.unit, other.native, other.cpu)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {key: value for key, value in asdict(self).items() if value or key == "unit"}

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Answer:
        """Read the JSON form."""
        read: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in data.items()}
        return cls(**read)


def view_of(configuration: Configuration) -> View:
    """The configuration as planning sees it."""
    return normalize(load_model(configuration.model().SerializeToString()))


def prepare(name: str, view: View, target: Target, precision: str) -> Question:
    """Write a configuration as a partition of this precision is written.

    Args:
        name: of the configuration.
        view: of it; has one node at least.
        target: the SoC.
        precision: fp16 or int8.
    """
    part = _whole(view)
    model = extract(view, part)
    quantized = False
    if precision == "int8":
        quantized = "fp16" not in target.precisions or any(role(node) is not Role.FLOAT for node in model.graph)
        groups = part.groups
        if len(view.nodes) == 1 and role(view.nodes[0].node) is not Role.COMPUTE:
            groups = _between_neighbours(model)
        model = _rounded(model, groups, everything="fp16" not in target.precisions)
    copy = vendor_copy(serialize(model), name)
    return Question(name, view, copy.content, Settings.of(target.name, precision, {}), quantized)


def _whole(view: View) -> Partition:
    """Everything as one partition."""
    wiring = wire(view.model.graph)
    ends = [group[-1] for group in native_groups(view)]
    constants = view.model.graph.initializers
    return Partition(
        name="configuration",
        nodes=tuple(range(len(view.nodes))),
        origins=(),
        inputs=tuple(value.name or "" for value in view.model.graph.inputs if value.name not in constants),
        outputs=tuple(value.name or "" for value in view.model.graph.outputs),
        groups=tuple(wiring.makes[node] for node in ends),
        macs=0,
        weight_bytes=0,
    )


def _between_neighbours(model: ir.Model) -> tuple[tuple[str, ...], ...]:
    """Put an operator that has an integer form before each float input and behind each float output. Changes `model`.

    Returns:
        For each native operator the names of the values that leave it.
    """
    graph = model.graph
    (asked,) = graph
    groups: list[tuple[str, ...]] = [tuple(value.name or "" for value in asked.outputs if value.name)]
    for value in [value for value in graph.inputs if value.dtype is ir.DataType.FLOAT]:
        made = _neighbour(value)
        for position, one in enumerate(asked.inputs):
            if one is value:
                asked.replace_input_with(position, made.outputs[0])
        graph.insert_before(asked, made)
        groups.insert(0, (made.outputs[0].name or "",))
    for position, value in enumerate(list(graph.outputs)):
        if value.dtype is ir.DataType.FLOAT:
            made = _neighbour(value)
            graph.append(made)
            graph.outputs[position] = made.outputs[0]
            groups.append((made.outputs[0].name or "",))
    return tuple(groups)


def _neighbour(value: ir.Value) -> ir.Node:
    name = f"{NEIGHBOUR}{value.name}"
    made = ir.Node("", "Abs", [value], name=name)
    made.outputs[0].name, made.outputs[0].shape, made.outputs[0].dtype = name, value.shape, value.dtype
    return made


def _rounded(model: ir.Model, groups: Sequence[Sequence[str]], everything: bool) -> ir.Model:
    """The QDQ model; every tensor has a range of its own around zero, for nothing depends on what the values are."""
    scheme = replace(scheme_for("int8"), everything=everything)
    names, _ = tensors_to_observe(model, groups, everything)
    return quantize(model, {name: _range(name) for name in names}, groups=groups, scheme=scheme).model


def _range(name: str) -> Range:
    spread = zlib.crc32(name.encode()) % 97 / 97
    return Range(-1.0 - spread, 1.5 - spread)


def ask(question: Question) -> Answer:
    """Let the compiler build it.

    Raises:
        ToolkitError: the toolkit cannot be used, or its process was killed from outside: no answer to the question.
    """
    try:
        job = workers().run(
            "probe",
            {"model": "model.onnx", "config": question.settings.config()},
            files={"model.onnx": question.model},
            timeout=SECONDS,
            second_try=True,
        )
    except ToolkitError as error:
        if not error.refuses:
            raise
        unit = "crashed" if error.crashed else "unmeasured" if error.kind == "memory" else "refused"
        return Answer(unit, why=_words(error), quantized=question.quantized)
    table = read_layers(job.log)
    if table is None:
        return Answer("unmeasured", why="no layer table was printed", quantized=question.quantized)
    asked = {node.facts.op_type for node in question.view.nodes}
    decides = "Reshape" if asked <= RESHAPES else "Transpose" if asked == {"Transpose"} else ""
    return judged(table.layers, question.quantized, decides)


def judged(layers: Sequence[Layer], quantized: bool, decides: str = "") -> Answer:
    """What a layer table comes to, neighbours left out; of what only moves data the native operator that `decides`."""
    layers = [layer for layer in layers if not (layer.name.startswith(NEIGHBOUR) and layer.native in _OF_NEIGHBOURS)]
    on_cpu = [layer.native for layer in layers if layer.unit != "npu"]
    computing = [layer for layer in layers if layer.unit == "npu" and layer.native not in NO_WORK]
    if all(layer.native == CONVERSION for layer in layers):
        unit = "folded"
    elif not on_cpu:
        unit = "npu"
    else:
        unit = "mixed" if computing and decides not in on_cpu and LAYOUT.issuperset(on_cpu) else "cpu"
    return Answer(
        unit,
        native=tuple(layer.native for layer in layers),
        cpu=tuple(on_cpu) if len(on_cpu) < len(layers) else (),
        cycles=sum(layer.cycles for layer in layers),
        kilobytes=round(sum(layer.kilobytes for layer in layers), 1),
        quantized=quantized,
    )


def _words(error: ToolkitError) -> str:
    """One line of the compiler's own words."""
    if error.kind == "timeout":
        return f"did not end within {SECONDS:g} s"
    lines = [line.strip() for line in error.said.splitlines() if line.strip()]
    return (lines[-1] if lines else error.message.partition("\n")[0])[:200]
