"""One configuration through the real compiler, in the very form in which rknn_ep hands an operator over.

    answer = ask(prepare(configuration, target, "int8"))
    answer.unit, answer.native, answer.why

The form: normalised, written out where `lowering` does so, at int8 as the QDQ model that `quantization` makes of it. On SoCs
with float16 operators that have no integer form stay float inside an int8 partition, and are asked so; elsewhere everything
is rounded.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from rknn_ep.graph import View, normalize, serialize
from rknn_ep.graph.load import load_model
from rknn_ep.partitioning.extract import extract
from rknn_ep.partitioning.partitioner import Partition
from rknn_ep.partitioning.patterns import native_groups
from rknn_ep.partitioning.wiring import wire
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

LAYOUT = frozenset({"Reshape", "Transpose", "exDataConvert", "Expand"})
"""Native operators that the compiler puts around others. On the CPU side beside what is computed on the NPU they make a
finding `mixed`."""
NO_WORK = frozenset({"Reshape", "exDataConvert"})
"""Those that are no work of the NPU's by themselves."""
SECONDS = 120.0
CRASHES = ("signal", "exit")


@dataclass(frozen=True)
class Question:
    """A configuration as the compiler gets it."""

    name: str
    view: View
    model: bytes
    settings: Settings
    quantized: bool
    """Whether it has integers in it."""


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
    """Whether what it was asked had integers in it."""

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return {key: value for key, value in asdict(self).items() if value or key == "unit"}

    @classmethod
    def of(cls, data: dict[str, Any]) -> Answer:
        """Read the JSON form."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in data.items()})


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
        everything = "fp16" not in target.precisions or all(role(node) is not Role.FLOAT for node in model.graph)
        model, quantized = _rounded(model, part.groups, everything)
    copy = vendor_copy(serialize(model), name)
    return Question(name, view, copy.content, Settings.of(target.name, precision, {}), quantized)


def _whole(view: View) -> Partition:
    """Everything as one partition."""
    wiring = wire(view.model.graph)
    ends = [group[-1] for group in native_groups(view, wiring)]
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


def _rounded(model: ir.Model, groups: Sequence[Sequence[str]], everything: bool) -> tuple[ir.Model, bool]:
    """The QDQ model; every tensor has a range of its own around zero, for nothing depends on what the values are."""
    scheme = scheme_for("int8")
    if everything:
        from dataclasses import replace

        scheme = replace(scheme, everything=True)
    names, _ = tensors_to_observe(model, groups, everything)
    made = quantize(model, {name: _range(name) for name in names}, groups=groups, scheme=scheme)
    return made.model, any(node.op_type == "QuantizeLinear" for node in made.model.graph)


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
        )
    except ToolkitError as error:
        if not error.refuses:
            raise
        unit = "crashed" if error.kind in CRASHES else "refused" if error.lasting else "unmeasured"
        return Answer(unit, why=_words(error), quantized=question.quantized)
    table = read_layers(job.log)
    if table is None:
        return Answer("unmeasured", why="no layer table was printed", quantized=question.quantized)
    return judged(table.layers, question.quantized)


def judged(layers: Sequence[Layer], quantized: bool) -> Answer:
    """What a layer table comes to."""
    on_cpu = [layer.native for layer in layers if layer.unit != "npu"]
    computing = [layer for layer in layers if layer.unit == "npu" and layer.native not in NO_WORK]
    if not layers:
        unit = "folded"
    elif not on_cpu:
        unit = "npu"
    else:
        unit = "mixed" if computing and LAYOUT.issuperset(on_cpu) else "cpu"
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
    lines = [line.strip() for line in error.said.splitlines() if line.strip()]
    return (lines[-1] if lines else error.message.partition("\n")[0])[:200]
