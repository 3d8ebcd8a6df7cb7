"""Types and shapes of one node's outputs, by the ONNX schema's own inference function."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import onnx
import onnx_ir as ir

from rknn_ep.graph.constant_node import tensor_of
from rknn_ep.graph.provenance import bodies_of
from rknn_ep.graph.values import is_constant, is_onnx

log = logging.getLogger(__name__)

_FEW_NUMBERS = 1024
"""Elements up to which an integer constant is shown to the inference function: shapes, axes, indices."""
_FEW_FLOATS = 16
"""The same for floats: the scales of a Resize, never weights."""


_LIKE_INPUT = ("GroupNormalization", "MeanVarianceNormalization")
"""Operators whose schemas have no inference function; their output is like their input."""
_COMPARISONS = ("GreaterOrEqual", "LessOrEqual")


class NodeInference:
    """Infers node by node, so that a walk in topological order is linear and never serialises weights.

    Networks repeat themselves: nodes are asked about under neutral names, and equal questions are asked once.
    """

    def __init__(self, model: ir.Model) -> None:
        self.opsets = dict(model.opset_imports)
        self._imports = [onnx.helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        self._answers: dict[Any, dict[int, onnx.TypeProto] | str] = {}
        self.failure = ""
        """What the last inference objected to; empty when it went well."""

    def infer(self, node: ir.Node) -> bool:
        """Write what is found into the node's outputs; False when there is nothing to ask or the answer is an error."""
        self.failure = ""
        if is_onnx(node, "If"):
            return self._infer_if(node)
        if is_onnx(node, *_LIKE_INPUT) and node.inputs and node.inputs[0] is not None:
            node.outputs[0].type, node.outputs[0].shape = node.inputs[0].type, node.inputs[0].shape
            return True
        # The comparisons of opset 12 cannot infer either, but those of opset 16 mean the same.
        opset = self.opsets.get(node.domain, 0)
        schema = schema_of(node.op_type, node.domain, max(opset, 16) if is_onnx(node, *_COMPARISONS) else opset)
        if schema is None or bodies_of(node):
            return False
        places: dict[int, int] = {}
        types: list[tuple[Any, ...]] = []
        data: list[onnx.TensorProto | None] = []
        for value in node.inputs:
            if value is None or id(value) in places:
                continue
            if value.type is None:
                return False
            places[id(value)] = len(types)
            # A tensor's element type stands for its type: onnx-ir hashes types through their text.
            kind = value.type.dtype if isinstance(value.type, ir.TensorType) else value.type
            types.append((kind, None if value.shape is None else value.shape.dims))
            data.append(_shown(value))
        inputs = ["" if value is None else f"i{places[id(value)]}" for value in node.inputs]
        proto = _proto(node, inputs)
        key = (proto.SerializeToString(), tuple(types), tuple(None if one is None else one.SerializeToString() for one in data))
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(schema, proto, types, data)
        if isinstance(answer, str):
            self.failure = answer
            return False
        for index, value in enumerate(node.outputs):
            if index in answer:
                _write(value, answer[index])
        return True

    def _infer_if(self, node: ir.Node) -> bool:
        """What both branches agree on. Loop and Scan keep what the model declares."""
        branches = bodies_of(node)
        for branch in branches:
            for inner in branch:
                self.infer(inner)
        self.failure = ""
        for value, results in zip(node.outputs, zip(*(branch.outputs for branch in branches), strict=True), strict=True):
            first = results[0]
            if all(one.type == first.type for one in results) and first.type is not None:
                value.type = first.type
            if all(one.shape is not None and one.shape == first.shape for one in results):
                value.shape = merged(first.shape, value.shape)
        return True

    def _ask(
        self, schema: Any, proto: onnx.NodeProto, types: list[tuple[Any, ...]], data: list[onnx.TensorProto | None]
    ) -> dict[int, onnx.TypeProto] | str:
        given = {f"i{place}": _type_proto(*one) for place, one in enumerate(types)}
        shown = {f"i{place}": one for place, one in enumerate(data) if one is not None}
        try:
            found = onnx.shape_inference.infer_node_outputs(schema, proto, given, shown, opset_imports=self._imports)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError, KeyError) as error:
            log.debug("shape inference of %s failed: %s", proto.op_type, error)
            return str(error).strip() or type(error).__name__
        return {int(name[1:]): one for name, one in found.items() if name and one.WhichOneof("value")}


def merged(found: ir.Shape | None, declared: ir.Shape | None) -> ir.Shape | None:
    """What inference found, with declared dimensions where it found none."""
    if found is None or declared is None or len(found) != len(declared):
        return found if found is not None else declared
    if found.is_static():
        return found
    return ir.Shape([one if isinstance(one, int) else other for one, other in zip(found, declared, strict=True)])


@lru_cache(maxsize=4096)
def schema_of(op_type: str, domain: str, opset: int) -> Any:
    """The operator's schema at an opset, or None where ONNX defines none."""
    try:
        return onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None


def _shown(value: ir.Value) -> onnx.TensorProto | None:
    maker = value.producer()
    tensor = value.const_value if is_constant(value) else None
    if maker is not None and is_onnx(maker, "Constant"):
        tensor = tensor_of(maker)
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return None
    if tensor.size > (_FEW_NUMBERS if tensor.dtype.is_integer() else _FEW_FLOATS):
        return None
    proto = onnx.TensorProto(data_type=int(tensor.dtype), raw_data=tensor.tobytes())
    proto.dims.extend(tensor.shape.numpy())
    return proto


def _type_proto(kind: Any, dims: tuple[int | ir.SymbolicDim, ...] | None) -> onnx.TypeProto:
    proto = onnx.TypeProto()
    ir.serde.serialize_type_into(proto, ir.TensorType(kind) if isinstance(kind, ir.DataType) else kind)
    if dims is not None:
        ir.serde.serialize_shape_into(proto, ir.Shape(dims))
    return proto


def _write(value: ir.Value, proto: onnx.TypeProto) -> None:
    if proto.HasField("tensor_type"):
        tensor = proto.tensor_type
        if tensor.elem_type:
            value.type = ir.TensorType(ir.DataType(tensor.elem_type))
        if tensor.HasField("shape"):
            dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
            value.shape = merged(ir.Shape(dims), value.shape)
        return
    value.type = ir.serde.deserialize_type_proto_for_type(proto) or value.type
    value.shape = merged(ir.serde.deserialize_type_proto_for_shape(proto), value.shape)


def _proto(node: ir.Node, inputs: list[str]) -> onnx.NodeProto:
    outputs = [f"o{index}" if value.name else "" for index, value in enumerate(node.outputs)]
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, input=inputs, output=outputs)
    for attribute in node.attributes.values():
        ir.serde.serialize_attribute_into(proto.attribute.add(), attribute)
    return proto
