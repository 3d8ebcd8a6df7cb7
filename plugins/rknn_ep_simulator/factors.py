"""A number behind a product of two computed matrices is the product's own: multiplied into its 32-bit sums.

`softmax(q k^T / sqrt(d))`: the NPU has no division there but the reciprocal, as float16, and stores the scaled product alone
(RKNN-Toolkit2 2.5.0: one exMatMul, all values equal).
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from rknn_ep_simulator.graphs import Names, constant, is_float, new_initializer


def scaling_of(product: ir.Node) -> ir.Node | None:
    """The Mul or Div by a number behind a product of two computed matrices that nothing else reads."""
    if product.op_type != "MatMul" or any(constant(operand) is not None for operand in product.inputs):
        return None
    value = product.outputs[0]
    if not is_float(value):
        return None
    readers = [reader for reader, _ in value.uses()]
    if len(readers) != 1 or value.is_graph_output() or readers[0].op_type not in ("Mul", "Div"):
        return None
    (reader,) = readers
    number = constant(reader.inputs[1] if reader.inputs[0] is value else reader.inputs[0])
    divides = reader.op_type == "Div" and reader.inputs[0] is not value
    return reader if number is not None and number.size == 1 and not divides else None


def multiply_by_reciprocals(model: ir.Model) -> None:
    """Write such a Div as a Mul. Changes `model`."""
    names = Names(model.graph)
    for node in list(model.graph):
        scaling = scaling_of(node)
        if scaling is None or scaling.op_type != "Div":
            continue
        number = constant(scaling.inputs[1])
        assert number is not None
        reciprocal = (1.0 / number.astype(np.float64)).astype(np.float32)
        made = ir.Node(
            "",
            "Mul",
            [node.outputs[0], new_initializer(model.graph, names.free(f"{scaling.outputs[0].name}_factor"), reciprocal)],
            name=scaling.name,
        )
        old, new = scaling.outputs[0], made.outputs[0]
        name, new.dtype, new.shape = old.name, old.dtype, old.shape
        model.graph.insert_before(scaling, made)
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        model.graph.remove(scaling, safe=True)
        old.name, new.name = None, name
