"""Linear layers as the vendor's import takes them in integers: MatMul and the Add of its bias become one Gemm.

Between a MatMul and its bias there is no rounding, so the import sees a MatMul with a float result, makes its weights
float16, and then refuses the int32 bias (or the float16, on SoCs without it). A Gemm has its bias inside. It takes two
dimensions: higher ones are flattened before and unfolded after, with the same scales around the Reshape, which moves codes.
"""

from __future__ import annotations

import math

import numpy as np
import onnx_ir as ir

from rknn_ep_toolkit2.graphs import QUANTIZE, constant, dequantize_of, insert_before, new_constant, readers

_UNARY = frozenset(
    {"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Elu", "Softplus", "Mish", "Gelu", "Selu"}
)


def gemms(model: ir.Model) -> tuple[str, ...]:
    """Rewrite every MatMul of codes with constant weights whose bias is added before it is rounded. Changes `model`.

    Returns:
        Names of the outputs that are now a Gemm's.
    """
    done = []
    for node in list(model.graph):
        if node.op_type == "MatMul" and (bias := _bias_of(node)) is not None:
            done.append(bias[0].outputs[0].name or "")
            _rewrite(node, *bias)
    return tuple(done)


def _bias_of(node: ir.Node) -> tuple[ir.Node, ir.Value] | None:
    """The Add behind a MatMul and the bias that it adds, where both can be a Gemm."""
    source, weight = dequantize_of(node.inputs[0]), dequantize_of(node.inputs[1])
    codes = constant(weight.inputs[0]) if weight is not None else None
    after = readers(node.outputs[0])
    if source is None or codes is None or codes.ndim != 2 or len(after) != 1 or after[0].op_type != "Add":
        return None
    add = after[0]
    other = add.inputs[1 - add.inputs.index(node.outputs[0])]
    held = dequantize_of(other)
    bias = constant(held.inputs[0]) if held is not None else None
    if other is None or bias is None or bias.dtype != np.int32 or bias.shape != codes.shape[1:]:
        return None
    if any(value is None or value.shape is None or not value.shape.is_static() for value in (node.inputs[0], add.outputs[0])):
        return None
    return add, other


def _rewrite(node: ir.Node, add: ir.Node, bias: ir.Value) -> None:
    x, weight = node.inputs[0], node.inputs[1]
    assert x is not None and x.shape is not None and node.graph is not None
    shape = x.shape.numpy()
    replaced = [node, add]
    if len(shape) == 2:
        result = insert_before(add, "Gemm", [x, weight, bias], f"{add.outputs[0].name}_gemm")
    else:
        flat = _moved(node, x, (math.prod(shape[:-1]), shape[-1]), f"{add.outputs[0].name}_rows")
        result = insert_before(add, "Gemm", [flat, weight, bias], f"{add.outputs[0].name}_gemm")
        columns = add.outputs[0].shape.numpy()[-1] if add.outputs[0].shape is not None else 0
        result.shape = ir.Shape((math.prod(shape[:-1]), columns))
        for activation in _activations(add):  # before the Reshape, so that nothing stands between them and the rounding
            inputs = [result, *activation.inputs[1:]]
            made = insert_before(
                add, activation.op_type, inputs, f"{activation.outputs[0].name}_rows", list(activation.attributes.values())
            )
            made.shape, result = result.shape, made
            replaced.append(activation)
        result = _rounded_and_unfolded(add, result, replaced[-1].outputs[0])
    old = replaced[-1].outputs[0]
    name = old.name
    result.dtype, result.shape = old.dtype, old.shape
    old.replace_all_uses_with(result, replace_graph_outputs=True)
    node.graph.remove(replaced, safe=True)
    old.name, result.name = None, name


def _activations(add: ir.Node) -> list[ir.Node]:
    """What follows without a rounding, value by value."""
    found: list[ir.Node] = []
    while True:
        value = (found or [add])[-1].outputs[0]
        after = readers(value)
        if value.is_graph_output() or len(after) != 1 or after[0].op_type not in _UNARY or after[0].inputs[0] is not value:
            return found
        found.append(after[0])


def _moved(node: ir.Node, value: ir.Value, shape: tuple[int, ...], name: str) -> ir.Value:
    """`value`, the output of a DequantizeLinear, in another shape and with its scale behind the Reshape as well."""
    made = dequantize_of(value)
    assert made is not None and node.graph is not None
    wanted = new_constant(node.graph, f"{name}_shape", np.asarray(shape, np.int64))
    flat = insert_before(node, "Reshape", [value, wanted], name)
    flat.shape = ir.Shape(shape)
    return _pair(node, flat, made.inputs[1], made.inputs[2] if len(made.inputs) > 2 else None)


def _rounded_and_unfolded(add: ir.Node, result: ir.Value, out: ir.Value) -> ir.Value:
    """The Gemm's result rounded as its reader rounds it, then in the shape that the Add had."""
    rounding = next((reader for reader in readers(out) if reader.op_type == QUANTIZE), None)
    if rounding is not None:
        result = _pair(add, result, rounding.inputs[1], rounding.inputs[2] if len(rounding.inputs) > 2 else None)
    assert add.graph is not None and out.shape is not None
    wanted = new_constant(add.graph, f"{out.name}_shape", np.asarray(out.shape.numpy(), np.int64))
    return insert_before(add, "Reshape", [result, wanted], f"{out.name}_unfolded")


def _pair(node: ir.Node, value: ir.Value, scale: ir.Value | None, zero: ir.Value | None) -> ir.Value:
    """QuantizeLinear and DequantizeLinear behind `value`."""
    codes = insert_before(node, QUANTIZE, [value, scale, zero], f"{value.name}_codes")
    codes.dtype = zero.dtype if zero is not None else ir.DataType.UINT8
    real = insert_before(node, "DequantizeLinear", [codes, scale, zero], f"{value.name}_real")
    codes.shape = real.shape = value.shape
    return real
