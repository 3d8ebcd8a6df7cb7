"""Calibration, integer grids and QDQ models. Knows ONNX graphs and numpy; never runs a model itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnx_ir as ir

    from rknn_ep.graph.view import View
    from rknn_ep.options import Options
    from rknn_ep.partitioning.partitioner import Plan
    from rknn_ep.plugins import PluginManager


def is_quantized(view: View) -> bool:
    """Whether a model arrives quantised: it has QuantizeLinear nodes or the integer operators of QOperator models."""
    from rknn_ep.quantization.existing import holds_quantized_nodes

    return holds_quantized_nodes(view.model)


def quantize_plans(
    plans: Sequence[Plan], options: Options, manager: PluginManager, progress: Callable[[str, float], None]
) -> tuple[list[list[ir.Model | None]], dict[str, Any]]:
    """Quantise every partition of a plan, or of several for different input shapes: see `rknn_ep.quantization.plan`."""
    from rknn_ep.quantization.plan import quantize_plans as run

    return run(plans, options, manager, progress)
