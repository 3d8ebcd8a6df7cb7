"""What is left of a model beside its partitions, imported by TVM's ONNX frontend with our own converters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import onnx
import onnx_ir as ir
from tvm import relax
from tvm.relax.frontend.onnx.onnx_frontend import ONNXGraphImporter, _get_convert_map

from rknn_ep.artifact.native_text import NativeDescription
from rknn_ep.errors import ModelError
from rknn_ep.graph import normalize, serialize
from rknn_ep.quantization.stitch import replace_partitions
from rknn_ep_tvm.carriers import partition_call
from rknn_ep_tvm.converters import CONVERTERS

if TYPE_CHECKING:
    from tvm import IRModule

    from rknn_ep.builds import Build, BuiltPartition
    from rknn_ep.options import Options

DOMAIN = "rknn_ep"
OPERATOR = "RknnPartition"

_CANNOT = (ValueError, TypeError, AttributeError, LookupError, AssertionError, RuntimeError)
"""What TVM's converters end with on what they cannot convert. They have no error of their own: some raise ValueError,
NotImplementedError or one of tvm.error (both are RuntimeErrors, like what comes from C++), some assert, and some trip over an
attribute, a shape or an input that is not as they expect it."""


def import_remainder(model: ir.Model, built: Build, options: Options) -> IRModule:
    """The Relax module of a model that was built.

    Raises:
        ModelError: TVM's frontend cannot import an operator that is not in a partition.
    """
    # The view in which the partitions were planned: normalising is deterministic, so the same origins are found again.
    view = normalize(model, input_shapes=options.input_shapes, dimensions=options.dimensions)
    parts = []
    for part in built.partitions:
        origins = frozenset(part.origins)
        nodes = tuple(node.index for node in view.nodes if node.origins and node.origins <= origins)
        parts.append((_Place(part.name, nodes), _stand_in(part)))
    whole = replace_partitions(view.model, parts)
    proto = onnx.ModelProto.FromString(serialize(whole))
    importer = _Importer({part.name: part for part in built.partitions}, options.as_text())
    return importer.run(proto)


@dataclass(frozen=True)
class _Place:
    name: str
    nodes: tuple[int, ...]


def _stand_in(part: BuiltPartition) -> ir.Model:
    """A model of one node that names the partition."""
    description = NativeDescription.from_text(part.native_text)

    def values(tensors: Any) -> list[ir.Value]:
        return [
            ir.Value(name=one.name, type=ir.TensorType(ir.DataType[one.border_dtype]), shape=ir.Shape(one.border_dims))
            for one in tensors
        ]

    inputs, outputs = values(description.inputs), values(description.outputs)
    node = ir.Node(DOMAIN, OPERATOR, inputs, [ir.AttrString("partition", part.name)], outputs=outputs, name=part.name)
    return ir.Model(ir.Graph(inputs, outputs, nodes=[node], opset_imports={DOMAIN: 1}, name=part.name), ir_version=10)


class _Importer(ONNXGraphImporter):  # type: ignore[misc]
    """TVM's importer with our converters before its own, and partitions as an operator."""

    def __init__(self, partitions: dict[str, BuiltPartition], options: dict[str, str]) -> None:
        super().__init__({}, "float32")
        self._partitions = partitions
        self._options = options

    def run(self, model: onnx.ModelProto) -> IRModule:
        """Import a model with fixed shapes and folded constants.

        Raises:
            ModelError: an operator that TVM does not take.
        """
        opset = next((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), 1)
        known = {*_get_convert_map(), *CONVERTERS, OPERATOR, "If", "Constant"}
        for node in model.graph.node:
            if node.op_type not in known or node.domain not in ("", "ai.onnx", "com.microsoft", DOMAIN):
                raise ModelError(
                    f"{node.op_type} '{node.name or node.output[0]}' runs on the CPU, and TVM's ONNX frontend has no converter "
                    "for it",
                    remedy="rknn-ep partition says why it is not on the NPU; ONNX Runtime runs the model as it is.",
                )
        return self.from_onnx(model.graph, opset)

    def _check_for_unsupported_ops(self, graph: onnx.GraphProto) -> None:
        """`run` has done it, with better words."""

    def _convert_operator(self, op_name: str, inputs: list[Any], attrs: dict[str, Any], opset: int) -> relax.Expr:
        if op_name == OPERATOR:
            part = self._partitions[attrs["partition"].decode()]
            call = partition_call(part.bundle.read_bytes(), list(inputs), self._options)
            return self.bb.emit(call)
        if op_name in CONVERTERS:
            return self.bb.normalize(CONVERTERS[op_name](self.bb, inputs, attrs, opset))
        try:
            return super()._convert_operator(op_name, inputs, attrs, opset)
        except _CANNOT as error:
            name = attrs["tvm_custom"]["name"]
            raise ModelError(
                f"{op_name} '{name}' runs on the CPU, and TVM's ONNX frontend cannot convert it: {str(error) or repr(error)}",
                remedy="rknn-ep partition says why it is not on the NPU; ONNX Runtime runs the model as it is.",
            ) from error
