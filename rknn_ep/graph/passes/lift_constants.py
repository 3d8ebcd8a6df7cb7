"""Constant nodes become initializers of the same name."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, demand, done

_NUMBERS: dict[str, Any] = {
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_int": np.int64,
    "value_ints": np.int64,
}


class LiftConstants(GraphPass):
    """Turn every Constant node into an initializer. Sparse constants stay nodes.

    onnx-ir's own pass leaves constants that are graph outputs and walks into bodies; here neither is wanted.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Constants keep their names."""
        graph = model.graph
        lifted = []
        for node in graph:
            if node.op_type != "Constant" or node.domain != "":
                continue
            tensor = tensor_of(node)
            if tensor is None:
                continue
            old = node.outputs[0]
            new = ir.Value(name=old.name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
            old.replace_all_uses_with(new, replace_graph_outputs=True)
            graph.register_initializer(new)
            self.provenance.constants.add(str(old.name))
            lifted.append(node)
        graph.remove(lifted, safe=True)
        return done(model, len(lifted))

    def ensures(self, model: ir.Model) -> None:
        """No Constant node with a dense value is left."""
        for node in model.graph:
            demand(node.op_type != "Constant" or node.domain != "" or tensor_of(node) is None, f"Constant '{node.name}' is left")


def tensor_of(node: ir.Node) -> ir.TensorProtocol | None:
    """The dense tensor that a Constant node holds, in whichever of its attributes."""
    name = str(node.outputs[0].name)
    for key, attribute in node.attributes.items():
        if key == "value":
            return attribute.as_tensor()
        if key in _NUMBERS:
            return ir.Tensor(np.array(attribute.value, dtype=_NUMBERS[key]), name=name)
        if key == "value_string":
            return ir.StringTensor(np.array(attribute.as_string().encode(), dtype=object), shape=ir.Shape(()), name=name)
        if key == "value_strings":
            texts = [text.encode() for text in attribute.as_strings()]
            return ir.StringTensor(texts, shape=ir.Shape((len(texts),)), name=name)
    return None
