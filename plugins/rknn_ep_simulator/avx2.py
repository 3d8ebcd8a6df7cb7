"""simulation_avx2.onnx: the QDQ model for x64 processors with AVX2 but without VNNI, on the simulator's own kernels.

ONNX Runtime fuses the QDQ model and moves it to NHWC, offline; then its convolutions, the tables of elementwise chains and
nearest resizing become the operators of native/simulator/kernels. The arithmetic stays: integer sums, one float32 product, one
rounding.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass, RemoveUnusedOpsetsPass

from rknn_ep_simulator.graphs import QUANTIZE, constant, integer_attribute, new_initializer
from rknn_ep_simulator.tables import STAND_IN, Table, put_tables

Array = np.ndarray[Any, Any]
DOMAIN = "rknn_ep"
LARGEST_DEPTH = 2**31 // (255 * 128) // 2 - 1
"""Products in one sum that surely stay within 32 bits, with their bias."""
LARGEST_RESULT = 2**30
"""Of sums before they saturate, in units of the output's scale: the kernels convert them to 32-bit integers."""
PORTABLE_DOMAINS = frozenset({"", "ai.onnx", "com.microsoft", DOMAIN})


def make_avx2(model: ir.Model) -> ir.Model | None:
    """The model on own kernels, or None where it has nothing for them. `model` is left as it is."""
    if any(node.domain not in PORTABLE_DOMAINS for node in model.graph) or not any(
        node.op_type == QUANTIZE for node in model.graph
    ):
        return None
    copy = model.clone()
    tables = put_tables(copy)
    if not tables and not any(node.op_type in ("Conv", "Gemm") for node in copy.graph):
        return None
    optimized = _optimized(copy)
    graph = optimized.graph
    changed = 0
    for node in list(graph):
        match (node.domain, node.op_type):
            case ("com.microsoft", "QLinearLeakyRelu"):
                changed += _lookup(graph, node, tables)
            case ("com.microsoft", "QLinearConv" | "QGemm"):
                changed += _convolution(graph, node)
            case ("" | "ai.onnx", "Resize"):
                changed += _repeat(graph, node)
            case ("" | "ai.onnx", "Transpose"):
                _quantize_picture(graph, node)
    if not changed or any(node.domain not in PORTABLE_DOMAINS for node in graph):
        return None
    graph.opset_imports[DOMAIN] = 1
    RemoveUnusedNodesPass()(optimized)
    RemoveUnusedOpsetsPass()(optimized)
    return optimized


def _optimized(model: ir.Model) -> ir.Model:
    """What ONNX Runtime makes of the model, without what depends on the processor that compiles."""
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="rknn_ep-") as folder:
        path = Path(folder) / "optimized.onnx"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        onnxruntime.InferenceSession(
            ir.to_proto(model).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["NchwcTransformer"],
        )
        return ir.from_proto(onnx.load(path))


def _lookup(graph: ir.Graph, node: ir.Node, tables: list[Table]) -> bool:
    number = constant(node.inputs[3])
    if number is None or not (node.name or "").startswith(STAND_IN):
        return False
    index = int(number) - 1
    table = new_initializer(graph, f"rknn_ep_codes_{index}", tables[index])
    _replace(graph, node, "Lookup", [node.inputs[0], table], [])
    return True


def _convolution(graph: ir.Graph, node: ir.Node) -> bool:
    """QLinearConv on NHWC codes, and QGemm with weights [M,K]: every row is a pixel."""
    values = [*node.inputs, *[None] * (9 - len(node.inputs))]
    gemm = node.op_type == "QGemm"
    if gemm:
        values = [*values[:6], *values[7:9], values[6]]  # in QLinearConv's order
    x_scale, x_zero, weight, w_scale, w_zero, y_scale, y_zero, bias = (constant(value) for value in values[1:9])
    if any(one is None for one in (x_scale, x_zero, weight, w_scale, w_zero, y_scale, y_zero)) or (values[8] and bias is None):
        return False
    assert x_scale is not None and x_zero is not None and weight is not None and w_scale is not None
    assert w_zero is not None and y_scale is not None and y_zero is not None
    group = integer_attribute(node, "group", 1)
    kernels = weight.shape[0]
    fits = (
        (_is_plain_gemm(node, weight) if gemm else _is_plain_convolution(node, weight))
        and weight.dtype == np.int8
        and not w_zero.any()
        and x_zero.dtype == np.uint8 == y_zero.dtype
        and x_scale.size == y_scale.size == 1
        and (group == 1 or (weight.shape[1] == 1 and group == kernels))
        and weight[0].size < LARGEST_DEPTH
        and (bias is None or bias.size == kernels)
    )
    if not fits:
        return False
    # As ONNX Runtime multiplies the scales: in float32, and in this order.
    rescale = np.broadcast_to(x_scale.reshape(()) * w_scale.reshape(-1) / y_scale.reshape(()), (kernels,)).astype(np.float32)
    bias = np.zeros(kernels, np.int32) if bias is None else bias.reshape(-1)
    largest = 255.0 * np.abs(weight.reshape(kernels, -1).astype(np.float64)).sum(1) + np.abs(bias.astype(np.float64))
    if not (largest * np.abs(rescale) < LARGEST_RESULT).all():
        return False
    name = node.outputs[0].name
    inputs = [
        node.inputs[0],
        new_initializer(graph, f"{name}_weight", weight.reshape(*weight.shape, 1, 1)) if gemm else node.inputs[3],
        new_initializer(graph, f"{name}_bias", bias),
        new_initializer(graph, f"{name}_rescale", np.ascontiguousarray(rescale)),
    ]
    attributes = [
        ir.AttrInt64s("strides", _integers(node, "strides", [1, 1])),
        ir.AttrInt64s("pads", _integers(node, "pads", [0, 0, 0, 0])),
        ir.AttrInt64s("dilations", _integers(node, "dilations", [1, 1])),
        ir.AttrInt64("group", group),
        ir.AttrInt64("x_zero_point", int(x_zero.reshape(()))),
        ir.AttrInt64("y_zero_point", int(y_zero.reshape(()))),
    ]
    _replace(graph, node, "Convolution", inputs, attributes)
    return True


def _is_plain_convolution(node: ir.Node, weight: Array) -> bool:
    padding = node.attributes.get("auto_pad")
    written = padding is None or padding.as_string() in ("", "NOTSET")
    return integer_attribute(node, "channels_last", 0) == 1 and weight.ndim == 4 and written


def _is_plain_gemm(node: ir.Node, weight: Array) -> bool:
    alpha = node.attributes.get("alpha")
    transposed = (integer_attribute(node, "transA", 0), integer_attribute(node, "transB", 0))
    return transposed == (0, 1) and weight.ndim == 2 and (alpha is None or alpha.as_float() == 1)


def _quantize_picture(graph: ir.Graph, node: ir.Node) -> None:
    """Quantising a float picture and moving its codes to NHWC, in one step; useful beside other own kernels alone."""
    quantize = node.inputs[0].producer() if node.inputs[0] is not None else None
    if quantize is None or quantize.op_type != QUANTIZE or len(quantize.inputs) != 3:
        return
    x, scale, zero = quantize.inputs[0], constant(quantize.inputs[1]), constant(quantize.inputs[2])
    if (
        _integers(node, "perm", []) != [0, 2, 3, 1]
        or x is None
        or x.shape is None
        or len(x.shape) != 4
        or x.shape[1] not in (1, 2, 3, 4)
        or x.dtype != ir.DataType.FLOAT
    ):
        return
    if scale is None or zero is None or scale.size != 1 or scale.dtype != np.float32 or zero.dtype != np.uint8:
        return
    held = new_initializer(graph, f"{node.outputs[0].name}_scale", scale.reshape(1))
    _replace(graph, node, "QuantizePicture", [x, held], [ir.AttrInt64("y_zero_point", int(zero.reshape(())))])


def _repeat(graph: ir.Graph, node: ir.Node) -> bool:
    """Nearest resizing of NHWC codes by whole factors, where it repeats each pixel that often."""
    x = node.inputs[0]
    scales = constant(node.inputs[2]) if len(node.inputs) > 2 else None
    if x is None or scales is None or scales.size != 4 or (len(node.inputs) > 3 and node.inputs[3] is not None):
        return False
    coordinates = _text(node, "coordinate_transformation_mode", "half_pixel")
    rounding = _text(node, "nearest_mode", "round_prefer_floor")
    factors = scales.astype(np.int64)
    repeats = _text(node, "mode", "nearest") == "nearest" and (
        (coordinates == "half_pixel" and rounding.startswith("round_")) or (coordinates == "asymmetric" and rounding == "floor")
    )
    producer = x.producer()
    if not repeats or not np.array_equal(factors, scales) or factors[0] != 1 or factors[3] != 1 or factors.min() < 1:
        return False
    if x.dtype != ir.DataType.UINT8 and (producer is None or not _makes_codes(producer)):
        return False
    _replace(graph, node, "Repeat", [x], [ir.AttrInt64("rows", int(factors[1])), ir.AttrInt64("columns", int(factors[2]))])
    return True


def _makes_codes(node: ir.Node) -> bool:
    """Whether a node without type information makes uint8: own kernels do, and ONNX Runtime's with such a zero point."""
    if node.domain == DOMAIN:
        return True
    zero = constant(node.inputs[-1]) if node.inputs else None
    positions = {"QLinearConv": 7, "QLinearAdd": 7, "QLinearMul": 7, "QuantizeLinear": 2, "QLinearConcat": 1}
    if node.op_type in positions and len(node.inputs) > positions[node.op_type]:
        zero = constant(node.inputs[positions[node.op_type]])
    return zero is not None and zero.dtype == np.uint8


def _integers(node: ir.Node, name: str, default: list[int]) -> list[int]:
    attribute = node.attributes.get(name)
    return default if attribute is None else [int(one) for one in attribute.as_ints()]


def _text(node: ir.Node, name: str, default: str) -> str:
    attribute = node.attributes.get(name)
    return default if attribute is None else str(attribute.as_string()) or default


def _replace(graph: ir.Graph, node: ir.Node, op_type: str, inputs: list[Any], attributes: list[ir.Attr]) -> None:
    new = ir.Node(DOMAIN, op_type, inputs, attributes, name=node.name)
    graph.insert_before(node, new)
    old, result = node.outputs[0], new.outputs[0]
    name = old.name
    result.dtype, result.shape = ir.DataType.UINT8, old.shape
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    graph.remove(node, safe=True)
    old.name, result.name = None, name
