"""One region of a Relax module, a function of its own, compiled into a bundle."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tvm import relax

from rknn_ep.errors import ModelError
from rknn_ep.importing import load_source
from rknn_ep.options import Options
from rknn_ep.pipeline import Progress, build
from rknn_ep_tvm.relax_onnx import to_onnx

_WHOLE_MODEL = ("input_shapes", "dimensions", "exclude_nodes", "exclude_ops", "mean", "std", "report")
"""Options that speak of the whole model: they are done with once it is planned."""


@dataclass(frozen=True)
class Region:
    """A region as a bundle, whose tensors have an order of their own."""

    bundle: bytes
    inputs: tuple[int, ...]
    """For each input of the bundle the region's parameter."""
    outputs: tuple[int, ...]
    """For each result of the region the bundle's output."""
    several: bool
    """Whether the region gives a tuple."""


def compile_region(
    function: relax.Function, name: str, options: Options, progress: Progress | None = None
) -> tuple[Region, dict[str, Any]]:
    """A region, and what quantisation and compilation said of it.

    Args:
        function: Relax operators, or composites of them, that the target takes whole.
        name: of the model that is made of it.
        options: `calibration` holds one array a parameter, by name.
        progress: called as the work goes on.

    Raises:
        StrictError: an operator is not the target's, with the reason.
        RknnEpError: as `rknn_ep.compile`.
    """
    converted = to_onnx(function, name)
    default = Options()
    own = replace(options, **{field: getattr(default, field) for field in _WHOLE_MODEL}, min_partition_macs=0, strict=True)
    built = build(load_source(converted.model.SerializeToString(), own), own, progress=progress)
    if len(built.partitions) != 1:
        raise ModelError(f"region {name} of the module became {len(built.partitions)} partitions instead of one")
    (part,) = built.partitions
    graph = converted.model.graph
    inputs, outputs = ([value.name for value in values] for values in (graph.input, graph.output))
    made = Region(
        part.bundle.read_bytes(),
        tuple(inputs.index(one) for one in part.inputs),
        tuple(part.outputs.index(one) for one in outputs),
        isinstance(function.ret_ty, relax.TupleType),
    )
    return made, built.report.to_dict().get("sections", {})
