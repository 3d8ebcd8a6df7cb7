"""native.txt: the partition's border and its SoC, in the words that the native libraries read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx_ir as ir

import rknn_ep
from rknn_ep.artifact.native_text import UINT8_NHWC, NativeDescription, TensorDescription
from rknn_ep.errors import CompileError
from rknn_ep.partitioning.footprint import footprint
from rknn_ep.records import CompileRequest
from rknn_ep_simulator.graphs import DEQUANTIZE, QUANTIZE, constant, dequantize_of

Grid = tuple[str, float, int]
"""(qtype, scale, zero point in signed codes)"""


def describe(model: ir.Model, request: CompileRequest) -> Callable[[str], str]:
    """Read everything that native.txt says off the model; the result takes the name of the exact model's entry.

    Raises:
        CompileError: an input or output has no static shape.
    """
    borders = dict.fromkeys(request.pictures, UINT8_NHWC)
    inputs = tuple(
        replace(_tensor(value, _input_grid(value), request.partition), border=borders.get(value.name or "", ""))
        for value in model.graph.inputs
    )
    outputs = tuple(_tensor(value, _output_grid(value), request.partition) for value in model.graph.outputs)
    target = request.target
    need = footprint(model, request.precision, request.groups)

    def text(exact_model: str) -> str:
        return NativeDescription(
            target=target.name,
            precision=request.precision,
            partition=request.partition,
            inputs=inputs,
            outputs=outputs,
            cores=target.cores,
            core_masks=target.core_masks,
            copying_api=target.copying_api,
            sdk=rknn_ep.__version__,
            weight_bytes=need.weights,
            internal_bytes=need.internal,
            exact_model=exact_model,
            shapes=1 + len(request.variants),
        ).to_text()

    return text


def _tensor(value: ir.Value, grid: Grid, partition: str) -> TensorDescription:
    dims = list(value.shape) if value.shape is not None else None
    if dims is None or value.dtype is None or not all(isinstance(dim, int) and dim > 0 for dim in dims):
        raise CompileError(f"{partition}: '{value.name}' has no static shape: {dims}")
    qtype, scale, zero_point = grid
    shape = tuple(int(dim) for dim in dims)
    return TensorDescription(value.name or "", shape, value.dtype.name, qtype, scale, zero_point)


def _input_grid(value: ir.Value) -> Grid:
    """The grid of an input that is quantised at once and only once."""
    grids = {_grid(reader) for reader, _ in value.uses() if reader.op_type == QUANTIZE}
    grid = grids.pop() if len(grids) == 1 else None
    return _border(value, grid if all(reader.op_type == QUANTIZE for reader, _ in value.uses()) else None)


def _output_grid(value: ir.Value) -> Grid:
    """The grid of an output that leaves the device in codes."""
    node = dequantize_of(value)
    return _border(value, _grid(node) if node is not None and node.op_type == DEQUANTIZE else None)


def _border(value: ir.Value, grid: Grid | None) -> Grid:
    if value.dtype not in (ir.DataType.FLOAT, ir.DataType.FLOAT16):
        return ("NONE", 1.0, 0)
    # Codes stand for float32: a float16 border is stored as it is.
    return grid if grid is not None and value.dtype == ir.DataType.FLOAT else ("FLOAT16", 1.0, 0)


def _grid(node: ir.Node) -> Grid | None:
    scale = constant(node.inputs[1])
    zero = constant(node.inputs[2]) if len(node.inputs) > 2 else np.zeros((), np.uint8)
    if scale is None or zero is None or scale.size != 1 or zero.dtype.itemsize > 2:
        return None
    signed = int(zero.reshape(-1)[0]) - (2 ** (8 * zero.dtype.itemsize - 1) if zero.dtype.kind == "u" else 0)
    return ("INT8" if zero.dtype.itemsize == 1 else "INT16", float(scale.reshape(-1)[0]), signed)
