"""Types and shapes of one node's outputs, by the ONNX schema's own inference function."""

from __future__ import annotations

import logging
from dataclasses import dataclass
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
        self._answers: dict[Any, list[_Output] | str] = {}
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
        if bodies_of(node):
            return False
        places: dict[int, int] = {}
        order: list[int | None] = []
        types: list[_Type] = []
        data: list[_Data | None] = []
        for value in node.inputs:
            if value is None:
                order.append(None)
                continue
            place = places.setdefault(id(value), len(types))
            order.append(place)
            if place < len(types):
                continue
            kind = value.type
            if kind is None:
                return False
            # A tensor's element type stands for its type: onnx-ir hashes types through their text.
            types.append(
                (kind.dtype if isinstance(kind, ir.TensorType) else kind, None if value.shape is None else value.shape.dims)
            )
            data.append(_shown(value))
        key = (
            node.op_type,
            node.domain,
            tuple(order),
            tuple(bool(value.name) for value in node.outputs),
            tuple(_attribute_key(attribute) for attribute in node.attributes.data.values()),
            tuple(types),
            tuple(data),
        )
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(node, order, types, data)
        if isinstance(answer, str):
            self.failure = answer
            return False
        for output in answer:
            output.write(node.outputs[output.index])
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

    def _ask(self, node: ir.Node, order: list[int | None], types: list[_Type], data: list[_Data | None]) -> list[_Output] | str:
        """What the schema says of the outputs, or its objection; an empty one where there is no schema."""
        # The comparisons of opset 12 cannot infer either, but those of opset 16 mean the same.
        opset = self.opsets.get(node.domain, 0)
        schema = schema_of(node.op_type, node.domain, max(opset, 16) if is_onnx(node, *_COMPARISONS) else opset)
        if schema is None:
            return ""
        proto = _proto(node, ["" if place is None else f"i{place}" for place in order])
        given = {f"i{place}": _type_proto(*one) for place, one in enumerate(types)}
        shown = {f"i{place}": _tensor_proto(one) for place, one in enumerate(data) if one is not None}
        try:
            found = onnx.shape_inference.infer_node_outputs(schema, proto, given, shown, opset_imports=self._imports)
        except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError, KeyError) as error:
            log.debug("shape inference of %s failed: %s", proto.op_type, error)
            return str(error).strip() or type(error).__name__
        return [_Output.read(int(name[1:]), one) for name, one in found.items() if name and one.WhichOneof("value")]


def infer_shapes(model: ir.Model) -> None:
    """Write types and shapes into the graph's values, in its order; what is declared or cannot be inferred stays.

    Of a MaxPool whose last window, of ceil_mode, would begin behind the tensor, onnx says another size than ONNX Runtime, which
    declares and computes it without. ONNX's own inference of a whole model serialises the weights, and gives up all of it where
    one operator has no inference function and a body that it cannot read (MeanVarianceNormalization in onnx 1.23).
    """
    inference = NodeInference(model)
    for node in model.graph:
        if any(value.type is None or value.shape is None or not value.shape.is_static() for value in node.outputs):
            inference.infer(node)


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


_Type = tuple[Any, tuple[int | ir.SymbolicDim, ...] | None]
"""Element type (or the type itself, of what is no tensor), dimensions."""
_Data = tuple[int, tuple[int, ...], bytes]
"""Element type, dimensions, contents."""


def _attribute_key(attribute: ir.Attr) -> tuple[Any, ...]:
    """What tells an attribute from others; what has no value to compare goes by its serialised form."""
    if attribute.type in _PLAIN and not attribute.is_ref():
        value = attribute.value
        return attribute.name, attribute.type, tuple(value) if isinstance(value, list) else value
    return attribute.name, attribute.type, ir.serde.serialize_attribute(attribute).SerializeToString(deterministic=True)


_PLAIN = frozenset(
    {
        ir.AttributeType.INT,
        ir.AttributeType.INTS,
        ir.AttributeType.FLOAT,
        ir.AttributeType.FLOATS,
        ir.AttributeType.STRING,
        ir.AttributeType.STRINGS,
    }
)


def _shown(value: ir.Value) -> _Data | None:
    maker = value.producer()
    tensor = value.const_value if is_constant(value) else None
    if maker is not None and is_onnx(maker, "Constant"):
        tensor = tensor_of(maker)
    if tensor is None or tensor.dtype == ir.DataType.STRING:
        return None
    if tensor.size > (_FEW_NUMBERS if tensor.dtype.is_integer() else _FEW_FLOATS):
        return None
    return int(tensor.dtype), tensor.shape.numpy(), tensor.tobytes()


def _tensor_proto(data: _Data) -> onnx.TensorProto:
    dtype, dims, content = data
    return onnx.TensorProto(data_type=dtype, dims=dims, raw_data=content)


def _type_proto(kind: Any, dims: tuple[int | ir.SymbolicDim, ...] | None) -> onnx.TypeProto:
    proto = onnx.TypeProto()
    ir.serde.serialize_type_into(proto, ir.TensorType(kind) if isinstance(kind, ir.DataType) else kind)
    if dims is not None:
        ir.serde.serialize_shape_into(proto, ir.Shape(dims))
    return proto


@dataclass(frozen=True)
class _Output:
    """What was found of one output, ready to be written into any number of nodes."""

    index: int
    dtype: ir.DataType | None
    """Element type of a tensor."""
    other: Any
    """The type of what is no tensor."""
    shape: ir.Shape | None
    """Frozen, so that values can share it."""

    @classmethod
    def read(cls, index: int, proto: onnx.TypeProto) -> _Output:
        if not proto.HasField("tensor_type"):
            shape = ir.serde.deserialize_type_proto_for_shape(proto)
            return cls(index, None, ir.serde.deserialize_type_proto_for_type(proto), shape and ir.Shape(shape, frozen=True))
        tensor = proto.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in tensor.shape.dim]
        return cls(
            index,
            ir.DataType(tensor.elem_type) if tensor.elem_type else None,
            None,
            ir.Shape(dims, frozen=True) if tensor.HasField("shape") else None,
        )

    def write(self, value: ir.Value) -> None:
        if self.dtype is not None:
            value.type = ir.TensorType(self.dtype)
        elif self.other is not None:
            value.type = self.other
        if self.shape is not None:
            value.shape = merged(self.shape, value.shape)


def _proto(node: ir.Node, inputs: list[str]) -> onnx.NodeProto:
    outputs = [f"o{index}" if value.name else "" for index, value in enumerate(node.outputs)]
    proto = onnx.NodeProto(op_type=node.op_type, domain=node.domain, input=inputs, output=outputs)
    for attribute in node.attributes.values():
        ir.serde.serialize_attribute_into(proto.attribute.add(), attribute)
    return proto
