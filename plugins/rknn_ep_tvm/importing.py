"""From an ONNX model to a Relax module whose partitions are compiled: `from_onnx`.

The core normalises, plans, quantises and compiles as it does for ONNX Runtime; here each partition becomes one external
call, and TVM's own frontend imports what is left of the normalised graph.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import onnx

from rknn_ep.builds import Build
from rknn_ep.importing import Source, load_source
from rknn_ep.options import Options
from rknn_ep.pipeline import Progress, build
from rknn_ep_tvm import targets

if TYPE_CHECKING:
    from tvm import IRModule
    from tvm.target import Target as TvmTarget

    from rknn_ep.partitioning.report import Report


class Imported(NamedTuple):
    """What `from_onnx` gives: `mod, report = from_onnx(...)`."""

    mod: IRModule
    """A function `main` that takes the model's inputs and gives its outputs (a tuple where there are several)."""
    report: Report
    """What runs where and why: the same as `rknn-ep partition` gives, with what quantisation and compilation said."""


def from_onnx(
    model: Source | onnx.ModelProto, *, target: str | TvmTarget = "", progress: Progress | None = None, **options: Any
) -> Imported:
    """Import a model with its RKNN partitions compiled and everything else as Relax operators.

    Args:
        model: path of a model in any format that an importer plugin reads, serialised ONNX, a ModelProto, or an object
            that an importer plugin takes.
        target: `rk3588`, a TVM target's name (`rockchip/rk3588`, `rockchip/rk3588-sim`), or what `make_target` gives.
        progress: called as the work goes on.
        **options: provider options, docs/options.md: calibration, precision, input_shapes, ...

    Returns:
        The module and the report. Any relax pipeline compiles the module; `rknn` also checks the target and chooses
        how bundles travel.

    Raises:
        ShapeError: a dimension has no value; the message names it and the option that binds it.
        ModelError: the model cannot be read, or neither the NPU nor TVM's frontend takes one of its operators.
        RknnEpError: as `rknn_ep.compile`.
    """
    from rknn_ep_tvm.carriers import planned
    from rknn_ep_tvm.remainder import import_remainder

    parsed = Options.parse(targets.planning_options(target, options))
    loaded = load_source(model.SerializeToString() if isinstance(model, onnx.ModelProto) else model, parsed)
    built: Build = build(loaded, parsed, progress=progress)
    return Imported(planned(import_remainder(loaded, built, parsed)), built.report)
