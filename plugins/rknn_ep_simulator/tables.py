"""Elementwise arithmetic between two 8-bit tensors as one look-up: 256 codes in, 256 codes out.

A chain such as HardSwish, a product with a number and a sum with another is a function of one tensor's codes, whatever floats it
goes through on the way. The tables are what ONNX Runtime computes for the 256 codes without optimising anything, so a look-up
is the QDQ model's own arithmetic and not an approximation.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, helper
from onnx_ir.passes.common import RemoveUnusedNodesPass

from rknn_ep_simulator.graphs import DEQUANTIZE, QUANTIZE, constant, new_initializer

Table = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
ELEMENTWISE = frozenset(
    {
        *("Abs", "Add", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "Identity", "LeakyRelu", "Log"),
        *("Max", "Min", "Mish", "Mul", "Neg", "Pow", "Reciprocal", "Relu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub"),
        *("Tanh", "ThresholdedRelu", "Cast"),
    }
)
CODES = 256
STAND_IN = "rknn_ep_table_"
"""How the names of stand-ins begin."""


def put_tables(model: ir.Model) -> list[Table]:
    """Replace elementwise chains between uint8 tensors by stand-ins for look-ups, in place.

    ONNX Runtime moves layouts past operators that it knows, and it knows QLinearLeakyRelu. The y_scale of a stand-in is the
    table's index + 1: unique, so that no two are taken for one.

    Returns:
        The tables, by index.
    """
    roots = _roots(model.graph)
    found = [(value, root) for value, root in roots.items() if value is not root and _is_codes(value)]
    # What only other chains read has no place in the result, and needs no table.
    found = [(value, root) for value, root in found if any(not _inside(reader, root, roots) for reader in _readers(value))]
    if not found:
        return []
    tables = _evaluate(model, found, roots)
    model.graph.opset_imports.setdefault("com.microsoft", 1)
    for index, (value, root) in enumerate(found):
        _stand_in(model.graph, value, root, index)
    RemoveUnusedNodesPass()(model)
    return tables


def _roots(graph: ir.Graph) -> dict[ir.Value, ir.Value]:
    """For each value that is a function of one uint8 tensor alone, element by element: that tensor."""
    roots: dict[ir.Value, ir.Value] = {}
    for node in graph:
        if len(node.outputs) != 1 or node.domain not in ("", "ai.onnx"):
            continue
        output = node.outputs[0]
        root = _common_root(node, roots)
        if root is not None and output.shape == root.shape:
            roots[output] = root
        elif node.op_type == QUANTIZE and _is_codes(output) and _parameters_are_numbers(node):
            roots[output] = output
    return roots


def _common_root(node: ir.Node, roots: dict[ir.Value, ir.Value]) -> ir.Value | None:
    if node.op_type in (QUANTIZE, DEQUANTIZE):
        source = node.inputs[0]
        return roots.get(source) if source is not None and _parameters_are_numbers(node) else None
    if node.op_type not in ELEMENTWISE:
        return None
    given = [value for value in node.inputs if value is not None and not _is_number(value)]
    found = {roots.get(value) for value in given}
    return found.pop() if len(found) == 1 else None


def _is_number(value: ir.Value) -> bool:
    """Whether a value is a constant of one element, as it is or behind its own DequantizeLinear."""
    producer = value.producer()
    if producer is not None and producer.op_type == DEQUANTIZE:
        return all(one is not None and _is_number(one) for one in producer.inputs)
    array = constant(value)
    return array is not None and array.size == 1


def _parameters_are_numbers(node: ir.Node) -> bool:
    return all(value is not None and _is_number(value) for value in node.inputs[1:])


def _is_codes(value: ir.Value) -> bool:
    return bool(value.dtype == ir.DataType.UINT8)


def _readers(value: ir.Value) -> Iterator[ir.Node | None]:
    yield from (reader for reader, _ in value.uses())
    if value.is_graph_output():
        yield None


def _inside(reader: ir.Node | None, root: ir.Value, roots: dict[ir.Value, ir.Value]) -> bool:
    """Whether a reader belongs to a chain that ends in a table of the same root."""
    if reader is None or roots.get(reader.outputs[0]) is not root:
        return False
    output = reader.outputs[0]
    return _is_codes(output) or all(_inside(further, root, roots) for further in _readers(output))


def _evaluate(model: ir.Model, found: list[tuple[ir.Value, ir.Value]], roots: dict[ir.Value, ir.Value]) -> list[Table]:
    """What the chains make of the codes 0 to 255."""
    import onnxruntime

    wanted = {root for _, root in found}
    nodes = [helper.make_node("Identity", ["codes"], [root.name]) for root in dict.fromkeys(root for _, root in found)]
    used: dict[str, ir.Value] = {}
    for node in model.graph:
        root = roots.get(node.outputs[0]) if len(node.outputs) == 1 else None
        if root is node.outputs[0] or (root not in wanted and not (node.op_type == DEQUANTIZE and _is_number(node.outputs[0]))):
            continue
        nodes.append(ir.to_proto(node))
        used |= {value.name or "": value for value in node.inputs if value is not None and value.is_initializer()}
    graph = helper.make_graph(
        nodes,
        "tables",
        [helper.make_tensor_value_info("codes", TensorProto.UINT8, [CODES])],
        [helper.make_tensor_value_info(value.name, TensorProto.UINT8, [CODES]) for value, _ in found],
        [onnx.numpy_helper.from_array(_as_number(value), name) for name, value in used.items()],
    )
    opsets = [helper.make_opsetid(domain, version) for domain, version in model.graph.opset_imports.items()]
    proto = helper.make_model(graph, opset_imports=opsets, ir_version=model.ir_version)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return list(session.run([value.name for value, _ in found], {"codes": np.arange(CODES, dtype=np.uint8)}))


def _as_number(value: ir.Value) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    """A constant without the dimensions that would widen a row of codes."""
    array = constant(value)
    assert array is not None
    return np.asarray(array.reshape(())) if array.size == 1 else array


def _stand_in(graph: ir.Graph, value: ir.Value, root: ir.Value, index: int) -> None:
    zero = new_initializer(graph, f"{STAND_IN}{index}_zero", np.asarray(0, np.uint8))
    one = new_initializer(graph, f"{STAND_IN}{index}_scale", np.asarray(1, np.float32))
    number = new_initializer(graph, f"{STAND_IN}{index}_number", np.asarray(index + 1, np.float32))
    node = ir.Node("com.microsoft", "QLinearLeakyRelu", [root, one, zero, number, zero], name=f"{STAND_IN}{index}")
    producer = value.producer()
    assert producer is not None
    graph.insert_before(producer, node)
    result = node.outputs[0]
    result.name, result.dtype, result.shape = f"{value.name}_looked_up", value.dtype, value.shape
    value.replace_all_uses_with(result, replace_graph_outputs=True)
