"""Types and shapes of one node's outputs, by the ONNX schema's own inference function."""

from __future__ import annotations

import logging
from functools import lru_cache
from typing import Any

import onnx
import onnx_ir as ir

from rknn_ep.graph.provenance import bodies_of
from rknn_ep.graph.values import is_constant

log = logging.getLogger(__name__)

_SMALL = 1024
"""Elements up to which a constant is shown to the inference function: shapes, axes, scales, never weights."""


class NodeInference:
    """Infers node by node, so that a walk in topological order is linear and never serialises weights."""

    def __init__(self, model: ir.Model) -> None:
        self.opsets = dict(model.opset_imports)
        self._imports = [onnx.helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
        self._types: dict[int, onnx.TypeProto] = {}
        self.failure = ""
        """What the last inference objected to; empty when it went well."""

    def infer(self, node: ir.Node) -> bool:
        """Write what is found into the node's outputs; False when there is nothing to ask or the answer is an error."""
        self.failure = ""
        schema = schema_of(node.op_type, node.domain, self.opsets.get(node.domain, 0))
        if schema is None or bodies_of(node):
            return False
        types: dict[str, onnx.TypeProto] = {}
        data: dict[str, onnx.TensorProto] = {}
        for value in node.inputs:
            if value is None or not value.name or value.name in types:
                continue
            proto = self._type(value)
            if proto is None:
                return False
            types[value.name] = proto
            tensor = value.const_value
            if tensor is not None and tensor.size <= _SMALL and is_constant(value):
                data[value.name] = ir.to_proto(tensor)
        try:
            found = onnx.shape_inference.infer_node_outputs(schema, _proto(node), types, data, opset_imports=self._imports)
        except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, KeyError) as error:
            self.failure = str(error).strip()
            log.debug("shape inference of %s '%s' failed: %s", node.op_type, node.name, error)
            return False
        for value in node.outputs:
            if value.name and value.name in found:
                self._write(value, found[value.name])
        return True

    def forget(self, value: ir.Value) -> None:
        """Drop what is remembered of a value whose type changed elsewhere."""
        self._types.pop(id(value), None)

    def _type(self, value: ir.Value) -> onnx.TypeProto | None:
        proto = self._types.get(id(value))
        if proto is None and value.type is not None:
            proto = onnx.TypeProto()
            ir.serde.serialize_type_into(proto, value.type)
            if value.shape is not None:
                ir.serde.serialize_shape_into(proto, value.shape)
            self._types[id(value)] = proto
        return proto

    def _write(self, value: ir.Value, proto: onnx.TypeProto) -> None:
        if not proto.WhichOneof("value"):
            return
        found = ir.serde.deserialize_type_proto_for_type(proto)
        if found is not None and getattr(found, "dtype", None) != ir.DataType.UNDEFINED:
            value.type = found
        value.shape = merged(ir.serde.deserialize_type_proto_for_shape(proto), value.shape)
        self._types.pop(id(value), None)


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


def _proto(node: ir.Node) -> onnx.NodeProto:
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain)
    proto.input.extend("" if value is None else str(value.name) for value in node.inputs)
    proto.output.extend(value.name or "" for value in node.outputs)
    for attribute in node.attributes.values():
        ir.serde.serialize_attribute_into(proto.attribute.add(), attribute)
    return proto
