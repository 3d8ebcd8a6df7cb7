"""The exported form of layer normalisation becomes LayerNormalization."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from rknn_ep.graph.passes.base import GraphPass, done
from rknn_ep.graph.values import add_constant, constant, is_constant, is_onnx, producer, scalar, static_shape, take_over


@dataclass
class _Form:
    source: ir.Value
    axis: int
    epsilon: float
    last: ir.Node
    inner: list[ir.Node]
    scale: np.ndarray[tuple[int, ...], np.dtype[np.floating]] | None = None
    bias: np.ndarray[tuple[int, ...], np.dtype[np.floating]] | None = None


class FuseLayerNormalization(GraphPass):
    """(x - mean) / sqrt(mean((x - mean)^2) + epsilon) * scale + bias over the last axes, from opset 17.

    The square may be Pow or Mul, the difference may be computed twice; scale and bias are constants of the shape of the
    normalised axes, and either may be missing.
    """

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Find each form by its Sqrt."""
        if model.opset_imports.get("", 0) < 17:
            return done(model, False)
        changes = 0
        for node in list(model.graph):
            if is_onnx(node, "Sqrt") and node.graph is model.graph:
                form = _match(node)
                if form is not None and self._closed(form):
                    self._write(model.graph, form)
                    changes += 1
        return done(model, changes)

    def _closed(self, form: _Form) -> bool:
        inside = {id(form.last), *(id(node) for node in form.inner)}
        return all(
            not value.is_graph_output()
            and value.name not in self.provenance.pinned
            and all(id(user) in inside for user, _ in value.uses())
            for node in form.inner
            for value in node.outputs
        )

    def _write(self, graph: ir.Graph, form: _Form) -> None:
        shape = static_shape(form.source)
        assert shape is not None and form.source.dtype is not None
        after, dtype = form.last.outputs[0], form.source.dtype.numpy()
        scale = np.ones(shape[form.axis :], dtype=dtype) if form.scale is None else form.scale
        inputs = [form.source, add_constant(graph, self.provenance.fresh(f"{after.name}_scale"), scale)]
        if form.bias is not None:
            inputs.append(add_constant(graph, self.provenance.fresh(f"{after.name}_bias"), form.bias))
        attributes = [ir.AttrInt64("axis", form.axis - len(shape)), ir.AttrFloat32("epsilon", form.epsilon)]
        new = ir.Node("", "LayerNormalization", inputs, attributes, name=form.last.name)
        graph.insert_before(form.last, new)
        take_over(new.outputs[0], after)
        graph.remove(form.inner, safe=True)


def _match(root: ir.Node) -> _Form | None:
    spread = _spread(root)
    if spread is None:
        return None
    variance, epsilon, add = spread
    axis = _mean_axis(variance)
    square = producer(variance.inputs[0])
    if axis is None or square is None:
        return None
    difference = _squared(square)
    if difference is None or not is_onnx(difference, "Sub"):
        return None
    mean = producer(difference.inputs[1])
    if mean is None or _mean_axis(mean) != axis:
        return None
    source = difference.inputs[0]
    if source is None or mean.inputs[0] is not source:
        return None
    normalised = _divided(root, source, mean)
    if normalised is None:
        return None
    last, others = normalised
    inner = list({id(node): node for node in (mean, difference, square, variance, add, root, *others)}.values())
    return _with_parameters(_Form(source, axis, epsilon, last, inner))


def _spread(root: ir.Node) -> tuple[ir.Node, float, ir.Node] | None:
    """Sqrt(ReduceMean(...) + epsilon) -> (the ReduceMean, epsilon, the Add)."""
    add = producer(root.inputs[0])
    if add is None or not is_onnx(add, "Add"):
        return None
    for variance, other in (tuple(add.inputs), tuple(reversed(add.inputs))):
        epsilon, node = scalar(other), producer(variance)
        if epsilon is not None and node is not None and is_onnx(node, "ReduceMean"):
            return node, epsilon, add
    return None


def _mean_axis(node: ir.Node) -> int | None:
    """First normalised axis, when the mean runs over the last axes and keeps them as ones."""
    shape = static_shape(node.inputs[0]) if is_onnx(node, "ReduceMean") else None
    if shape is None or not node.attributes.get_int("keepdims", 1):
        return None
    given = node.attributes.get_ints("axes", None)
    if given is None and len(node.inputs) > 1:
        array = constant(node.inputs[1])
        given = None if array is None else [int(one) for one in array.reshape(-1)]
    if not given:
        return None
    axes = sorted(axis % len(shape) for axis in given)
    return axes[0] if axes == list(range(axes[0], len(shape))) else None


def _squared(node: ir.Node) -> ir.Node | None:
    """What the node squares."""
    if is_onnx(node, "Pow") and scalar(node.inputs[1]) == 2.0:
        return producer(node.inputs[0])
    return producer(node.inputs[0]) if is_onnx(node, "Mul") and node.inputs[0] is node.inputs[1] else None


def _divided(root: ir.Node, source: ir.Value, mean: ir.Node) -> tuple[ir.Node, list[ir.Node]] | None:
    """The division of the difference by the root -> (that node, the differences that feed it)."""
    users = list(root.outputs[0].consumers())
    others: list[ir.Node] = []
    if len(users) == 1 and is_onnx(users[0], "Reciprocal"):
        others.append(users[0])
        users = list(users[0].outputs[0].consumers())
    if len(users) != 1 or not is_onnx(users[0], "Mul" if others else "Div"):
        return None
    divided = users[0]
    for value in divided.inputs[: 2 if others else 1]:
        node = producer(value)
        if node is not None and is_onnx(node, "Sub") and node.inputs[0] is source and producer(node.inputs[1]) is mean:
            return divided, [*others, node]
    return None


def _with_parameters(form: _Form) -> _Form:
    shape = static_shape(form.source)
    assert shape is not None
    for op_type in ("Mul", "Add"):
        users = list(form.last.outputs[0].consumers())
        if len(users) != 1 or not is_onnx(users[0], op_type) or form.last.outputs[0].is_graph_output():
            continue
        array = next((_fitting(value, shape, form.axis) for value in users[0].inputs if is_constant(value)), None)
        if array is None:
            if op_type == "Mul":
                return form
            continue
        form.inner.append(form.last)
        form.last = users[0]
        if op_type == "Mul":
            form.scale = array
        else:
            form.bias = array
    return form


def _fitting(
    value: ir.Value | None, shape: tuple[int, ...], axis: int
) -> np.ndarray[tuple[int, ...], np.dtype[np.floating]] | None:
    array = constant(value)
    if array is None:
        return None
    padded = (1,) * (len(shape) - array.ndim) + array.shape
    return np.asarray(array).reshape(shape[axis:]) if padded == (1,) * axis + shape[axis:] else None
