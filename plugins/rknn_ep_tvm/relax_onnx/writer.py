"""What converters write with: ONNX nodes, constants, and names that never clash."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tvm import relax

Converter = Callable[["CallWriter"], str | list[str]]
"""Writes the nodes of one call and gives the name of its value, or the names of its values."""

CONVERTERS: dict[str, Converter] = {}
"""By operator, `relax.nn.conv2d`; the modules of converters fill it when they are imported, which the package does."""


class UnsupportedCallError(Exception):
    """A form of a call that has no ONNX counterpart here; it stays with TVM."""


def converter(*operators: str) -> Callable[[Converter], Converter]:
    """Register a converter for Relax operators."""

    def register(function: Converter) -> Converter:
        for operator in operators:
            CONVERTERS[operator] = function
        return function

    return register


class GraphWriter:
    """Collects the nodes and constants of one graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._names: set[str] = set()

    def fresh(self, wish: str) -> str:
        """A name that nothing has yet."""
        name, number = wish, 0
        while name in self._names:
            number += 1
            name = f"{wish}_{number}"
        self._names.add(name)
        return name

    def constant(self, value: np.ndarray[Any, Any], wish: str) -> str:
        """An initializer; its name."""
        name = self.fresh(wish)
        self.initializers[name] = numpy_helper.from_array(np.asarray(value), name)
        return name


class CallWriter:
    """One Relax call on its way to ONNX nodes."""

    def __init__(self, graph: GraphWriter, call: relax.Call, inputs: Sequence[Any], name: str) -> None:
        self.graph = graph
        self.call = call
        self.inputs = inputs
        """For each argument: a value's name, a list of names for a tuple, or None for what is no tensor."""
        self.name = name
        """The bound variable's: what the nodes and the value are called after."""

    def node(self, operator: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> str:
        """Write a node of one value, or of the first of `outputs`; its name."""
        return self.nodes(operator, inputs, outputs, **attributes)[0]

    def nodes(self, operator: str, inputs: Sequence[str], outputs: int, **attributes: Any) -> list[str]:
        """Write a node of several values; their names."""
        names = [self.graph.fresh(self.name) for _ in range(outputs)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self.graph.nodes.append(
            helper.make_node(operator, list(inputs), names, self.graph.fresh(f"{self.name}:{operator}"), **given)
        )
        return names

    def constant(self, value: Any, dtype: Any = np.int64) -> str:
        """An initializer for a parameter such as a shape."""
        return self.graph.constant(np.asarray(value, dtype), f"{self.name}:constant")

    def like(self, value: float, argument: int = 0) -> str:
        """A scalar of an argument's element type."""
        return self.constant(value, self.dtype(argument))

    def attribute(self, name: str) -> Any:
        """An attribute of the call as Python values."""
        return plain(self.call.attrs[name])

    def shape(self, argument: int = 0) -> list[int]:
        """Static shape of an argument."""
        return static_shape(self.call.args[argument])

    def dtype(self, argument: int = 0) -> np.dtype[Any]:
        """Element type of an argument."""
        return np.dtype(str(self.call.args[argument].ty.dtype))

    @property
    def result(self) -> list[int]:
        """Static shape of the call's own value."""
        return static_shape(self.call)


def static_shape(expression: relax.Expr) -> list[int]:
    """Shape of a tensor expression; every dimension is a number."""
    return [int(dim) for dim in expression.ty.shape]


def plain(value: Any) -> Any:
    """TVM's containers and numbers as Python's."""
    import tvm

    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (tvm.tirx.IntImm, tvm.tirx.FloatImm)):
        return value.value
    if isinstance(value, (relax.Tuple, relax.ShapeExpr)):
        return [plain(item) for item in (value.fields if isinstance(value, relax.Tuple) else value.values)]
    try:
        return [plain(item) for item in value]
    except TypeError:
        return str(value)
