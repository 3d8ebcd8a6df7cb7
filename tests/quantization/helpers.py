"""Small float models, and the quantiser's steps in one call."""

from __future__ import annotations

import collections
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort

from rknn_ep.plugins import plugins
from rknn_ep.quantization.affine import Range
from rknn_ep.quantization.calibrate import SampleSource, calibrate
from rknn_ep.quantization.calibrators import all_calibrators
from rknn_ep.quantization.qdq import QuantizedModel, Scheme, quantize, scheme_for, tensors_to_observe
from rknn_ep.records import Calibrator

Array = np.ndarray[Any, Any]
CALIBRATORS = {record.name: record for record in all_calibrators()}


def model_of(text: str, opset: int = 17, **initializers: Array) -> ir.Model:
    """A float model from the text form of its graph, types and shapes inferred."""
    graph = onnx.parser.parse_graph(text)
    graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(array), name) for name, array in initializers.items())
    proto = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    return ir.from_proto(onnx.shape_inference.infer_shapes(proto, strict_mode=True))


def observed(model: ir.Model, samples: SampleSource, method: str | Calibrator = "minmax", **arguments: Any) -> dict[str, Range]:
    """Ranges of everything the model needs, from samples."""
    calibrator = CALIBRATORS[method] if isinstance(method, str) else method
    names, bounds = tensors_to_observe(model, arguments.pop("groups", ()))
    executor = plugins().float_executors()["onnxruntime"]
    return calibrate(model, names, samples, calibrator, bounds=bounds, float_executor=executor, **arguments)


def quantized(
    model: ir.Model,
    samples: Sequence[Mapping[str, Array]],
    method: str = "minmax",
    scheme: Scheme | None = None,
    groups: Sequence[Sequence[str]] = (),
) -> QuantizedModel:
    """Calibrate and quantise."""
    scheme = scheme or scheme_for("int8")
    ranges = observed(model, samples, method, grids=scheme.activations, groups=groups)
    return quantize(model, ranges, scheme=scheme, groups=groups)


def session(model: ir.Model, optimized: bool = True, dump: str = "") -> ort.InferenceSession:
    """The model on ONNX Runtime's CPU provider; x64quantprecision keeps AVX2 from saturating."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if dump:
        options.optimized_model_filepath = dump
    return ort.InferenceSession(ir.to_proto(model).SerializeToString(), options, providers=["CPUExecutionProvider"])


def run(model: ir.Model, feeds: Mapping[str, Array], optimized: bool = True) -> Array:
    """The model's only output."""
    return session(model, optimized).run(None, dict(feeds))[0]


def operators(path: str) -> collections.Counter[str]:
    """How often each operator occurs in a saved model."""
    return collections.Counter(node.op_type for node in onnx.load(path).graph.node)


def pairs(model: ir.Model) -> dict[str, tuple[float, int]]:
    """Every QuantizeLinear: name of the tensor it rounds -> (scale, zero point as stored)."""
    found = {}
    for node in model.graph:
        if node.op_type == "QuantizeLinear":
            source, scale, zero = node.inputs
            found[source.name] = (float(scale.const_value.numpy()), int(zero.const_value.numpy()))
    return found
