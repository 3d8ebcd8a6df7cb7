"""A Relax function as an ONNX model, call by call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import tvm
from onnx import helper
from tvm import relax

from rknn_ep.errors import ModelError, ShapeError
from rknn_ep_tvm.relax_onnx.writer import CONVERTERS, CallWriter, GraphWriter, UnsupportedCallError

DOMAIN = "tvm.relax"
"""Of nodes that stand for calls which have no ONNX counterpart here."""
OPSET = 17
_IR_VERSION = 8


@dataclass(frozen=True)
class Converted:
    """What `to_onnx` gives."""

    model: onnx.ModelProto
    makers: tuple[relax.Var | None, ...]
    """For each node the Relax variable that its call is bound to; None inside functions that were written in line."""
    values: dict[relax.Var, str | list[str]]
    """Relax variable -> the name of its value, or of its values where it is a tuple."""
    reasons: dict[str, str]
    """Variable name -> why its call has no ONNX counterpart."""


def to_onnx(function: relax.Function, name: str = "main") -> Converted:
    """Convert a function of static shapes.

    Args:
        function: dataflow blocks of Relax operators. Calls of functions that it defines itself (composites) are written
            in line.
        name: of the graph.

    Raises:
        ShapeError: a parameter has a symbolic dimension; the message names it and the way to bind it.
        ModelError: the function has control flow, or a parameter that is no tensor.

    Calls whose shapes are known at run time only are opaque, as those without a counterpart are; results of theirs and
    those that are no tensors are not among the graph's outputs.
    """
    walker = _Walker()
    parameters = [(one, walker.parameter(one)) for one in function.params]
    names = [text for text in _flat(walker.body(function.body, top=True)) if text in walker.types]
    results = walker.results(names)
    graph = helper.make_graph(
        walker.graph.nodes,
        name,
        [_value(text, variable.ty) for variable, text in parameters],
        [helper.make_tensor_value_info(text, *walker.types[source]) for text, source in zip(results, names, strict=True)],
        list(walker.graph.initializers.values()),
        value_info=[helper.make_tensor_value_info(text, *kind) for text, kind in walker.types.items() if text not in results],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="rknn_ep_tvm")
    return Converted(model, tuple(walker.makers), walker.values, walker.reasons)


def parameter_names(function: relax.Function) -> list[str]:
    """The parameters' names in the ONNX graph: a name that an earlier one has gets a number."""
    graph = GraphWriter()
    return [graph.fresh(parameter.name) for parameter in function.params]


class _Walker:
    def __init__(self) -> None:
        self.graph = GraphWriter()
        self.makers: list[relax.Var | None] = []
        self.reasons: dict[str, str] = {}
        self.types: dict[str, tuple[int, list[int]]] = {}
        """Value name -> (element type of ONNX, dimensions)."""
        self.values: dict[relax.Var, Any] = {}
        self._functions: dict[Any, relax.Function] = {}
        self._constants: dict[Any, str] = {}

    def parameter(self, variable: relax.Var) -> str:
        """A graph input."""
        if not isinstance(variable.ty, relax.TensorType):
            raise ModelError(
                f"parameter '{variable.name}' is no tensor", remedy="Give the tensors of a tuple as parameters of their own."
            )
        name = self.graph.fresh(variable.name)
        self._remember(name, variable.ty, variable.name)
        self.values[variable] = name
        return name

    def body(self, body: relax.Expr, *, top: bool = False) -> Any:
        """Write what a function computes; name or names of its result."""
        if not isinstance(body, relax.SeqExpr):
            return self.value(body)
        for block in body.blocks:
            for binding in block.bindings:
                self._bind(binding, top=top)
        return self.value(body.body)

    def results(self, names: list[str]) -> list[str]:
        """Outputs of the graph need makers and names of their own: parameters, constants and repetitions get an Identity."""
        made = {output for node in self.graph.nodes for output in node.output}
        results: list[str] = []
        for name in names:
            if name in made and name not in results:
                results.append(name)
                continue
            results.append(self.graph.fresh(f"{name}:out"))
            self.graph.nodes.append(helper.make_node("Identity", [name], [results[-1]], results[-1]))
            self.makers.append(None)
        return results

    def value(self, expression: relax.Expr) -> Any:
        """Name of an expression's value, a list for a tuple, None for what is no tensor."""
        if isinstance(expression, relax.Var):
            return self.values.get(expression)
        if isinstance(expression, relax.Tuple):
            return [self.value(field) for field in expression.fields]
        if isinstance(expression, relax.TupleGetItem):
            fields = self.value(expression.tuple_value)
            return fields[expression.index] if isinstance(fields, list) else None
        if isinstance(getattr(expression, "value", None), tvm.runtime.Tensor):
            return self._constant(expression)
        return None

    def _bind(self, binding: relax.Binding, *, top: bool) -> None:
        value, variable = binding.value, binding.var
        if isinstance(value, relax.Function):
            self._functions[variable] = value
        elif isinstance(value, relax.If):
            raise ModelError(f"'{variable.name}' is control flow, which has no place in a graph of operators")
        elif isinstance(value, relax.Call):
            self.values[variable] = self._call(value, variable, top=top)
        else:
            self.values[variable] = self.value(value)

    def _call(self, call: relax.Call, variable: relax.Var, *, top: bool) -> Any:
        inputs = [self.value(argument) for argument in call.args]
        if call.op in self._functions:
            inner = self._functions[call.op]
            self.values.update(zip(inner.params, inputs, strict=True))
            return self.body(inner.body)
        before = len(self.graph.nodes)
        name = self.graph.fresh(variable.name)
        made = self._converted(call, inputs, name)
        self.makers += [variable if top else None] * (len(self.graph.nodes) - before)
        fields = list(call.ty.fields) if isinstance(call.ty, relax.TupleType) else [call.ty]
        for text, kind in zip(made if isinstance(made, list) else [made], fields, strict=True):
            if isinstance(kind, relax.TensorType) and is_static(kind):
                self._remember(text, kind, variable.name)
        return made

    def _converted(self, call: relax.Call, inputs: list[Any], name: str) -> Any:
        operator = call.op.name if isinstance(call.op, tvm.ir.Op) else str(getattr(call.op, "name", call.op))
        before = len(self.graph.nodes)
        try:
            if operator not in CONVERTERS:
                raise UnsupportedCallError("there is no converter for this operator")
            if not is_static(call.ty) or any(text is not None and text not in self.types for text in _flat(inputs)):
                raise UnsupportedCallError("its shapes are known at run time only")
            return CONVERTERS[operator](CallWriter(self.graph, call, inputs, name))
        except UnsupportedCallError as error:
            del self.graph.nodes[before:]
            self.reasons[name] = f"{operator}: {error}"
        return self._opaque(call, operator, inputs, name)

    def _opaque(self, call: relax.Call, operator: str, inputs: list[Any], name: str) -> Any:
        """A node that only says what there is: its tensors and its name."""
        flat = [text for text in _flat(inputs) if text is not None]
        several = isinstance(call.ty, relax.TupleType)
        outputs = [self.graph.fresh(name) for _ in (call.ty.fields if several else [call.ty])]
        kind = operator.removeprefix("relax.").replace(".", "_")
        self.graph.nodes.append(helper.make_node(kind, flat, outputs, self.graph.fresh(f"{name}:{kind}"), domain=DOMAIN))
        return outputs if several else outputs[0]

    def _constant(self, expression: Any) -> str:
        if expression not in self._constants:
            array = expression.value.numpy()
            name = self.graph.constant(array, "constant")
            self._constants[expression] = name
            self.types[name] = (helper.np_dtype_to_tensor_dtype(array.dtype), list(array.shape))
        return self._constants[expression]

    def _remember(self, name: str, kind: relax.TensorType, owner: str) -> None:
        self.types[name] = (_element_type(kind), _dimensions(kind, owner))


def is_static(kind: Any) -> bool:
    """Whether every dimension of a type is a number; of what is no tensor nothing is asked."""
    if isinstance(kind, relax.TupleType):
        return all(is_static(field) for field in kind.fields)
    if not isinstance(kind, relax.TensorType):
        return True
    return kind.shape is not None and all(isinstance(dim, tvm.tirx.IntImm) for dim in kind.shape)


def _flat(value: Any) -> list[Any]:
    """Names in nested lists, in order."""
    return [text for entry in value for text in _flat(entry)] if isinstance(value, list) else [value]


def _value(name: str, kind: relax.TensorType) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _element_type(kind), _dimensions(kind, name))


def _element_type(kind: relax.TensorType) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(str(kind.dtype))))


def _dimensions(kind: relax.TensorType, owner: str) -> list[int]:
    if kind.shape is None:
        raise ShapeError(f"the shape of '{owner}' is not known; the NPU takes fixed shapes only")
    for index, dim in enumerate(kind.shape):
        if not isinstance(dim, tvm.tirx.IntImm):
            raise ShapeError(
                f"dimension {index} ('{dim}') of '{owner}' is symbolic and has no value; the NPU takes fixed shapes only",
                remedy=f"Bind it first: mod = tvm.relax.transform.BindSymbolicVars({{'{dim}': 1}})(mod)",
            )
    return [int(dim) for dim in kind.shape]
