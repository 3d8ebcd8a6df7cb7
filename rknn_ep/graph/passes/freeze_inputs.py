"""Give every dimension of every input its value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx_ir as ir

from rknn_ep.errors import ShapeError, nearest
from rknn_ep.graph.passes.base import GraphPass, demand, done
from rknn_ep.graph.provenance import Provenance, values_of

_EXAMPLE_SIZE = 320


class FreezeInputs(GraphPass):
    """Write `input_shapes` and `dimensions` into the graph's inputs.

    A dimension name that one input's shape gives a value holds for every other input that uses the name.

    Raises:
        ShapeError: a dimension is left without a value, a name does not exist, a rank or a fixed dimension differs, or
            one dimension name was given two values.
    """

    def __init__(self, provenance: Provenance, input_shapes: Mapping[str, Sequence[int]], dimensions: Mapping[str, int]) -> None:
        super().__init__(provenance)
        self.input_shapes = input_shapes
        self.dimensions = dict(dimensions)

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        """Apply shapes, then names, then check that nothing is left."""
        inputs = {str(value.name): value for value in model.graph.inputs}
        self._check_names(inputs)
        for name, shape in self.input_shapes.items():
            self._apply(inputs[name], tuple(shape))
        for value in inputs.values():
            self._bind(value)
        if self.dimensions:
            for value in values_of(model.graph):
                value.shape = self._substituted(value.shape)
        return done(model, True)

    def ensures(self, model: ir.Model) -> None:
        """Every tensor input has a static shape."""
        for value in model.graph.inputs:
            if is_tensor(value):
                demand(value.shape is not None and value.shape.is_static(), f"input '{value.name}' has a dynamic shape")

    def _check_names(self, inputs: Mapping[str, ir.Value]) -> None:
        for name in self.input_shapes:
            if name not in inputs:
                raise ShapeError(f"input_shapes: the model has no input '{name}': {nearest(name, inputs)}")
        known = sorted({dim for value in inputs.values() for dim in names_in(value.shape)})
        for name in self.dimensions:
            if name not in known:
                hint = nearest(name, known) if known else "all are fixed or unnamed; give whole shapes by input name."
                raise ShapeError(f"input_shapes: no input of the model has a dimension named '{name}': {hint}")

    def _apply(self, value: ir.Value, given: tuple[int, ...]) -> None:
        text = ",".join(map(str, given))
        if not is_tensor(value):
            raise ShapeError(f"input_shapes: input '{value.name}' is no tensor, it takes no shape")
        if value.shape is not None:
            if len(value.shape) != len(given):
                raise ShapeError(
                    f"input_shapes: input '{value.name}' has {len(value.shape)} dimensions ({show(value.shape)}), "
                    f"but {text} has {len(given)}"
                )
            for axis, (own, new) in enumerate(zip(value.shape, given, strict=True)):
                if isinstance(own, int) and own >= 0 and own != new:
                    raise ShapeError(f"input_shapes: dimension {axis} of input '{value.name}' is fixed at {own}, not {new}")
                if isinstance(own, ir.SymbolicDim) and _named(own):
                    known = self.dimensions.setdefault(str(own.value), new)
                    if known != new:
                        raise ShapeError(
                            f"input_shapes: dimension '{own.value}' is {known} elsewhere, but input '{value.name}' gives it {new}"
                        )
        value.shape = ir.Shape(given)

    def _bind(self, value: ir.Value) -> None:
        if not is_tensor(value):
            return
        if value.shape is None and value.const_value is not None:
            value.shape = ir.Shape(value.const_value.shape)
        if value.shape is None:
            raise ShapeError(
                f"input '{value.name}' has no shape at all",
                remedy=f"Set input_shapes, for example input_shapes='{value.name}:1,3,224,224'.",
            )
        value.shape = self._substituted(value.shape)
        assert value.shape is not None
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, int) and dim >= 0:
                continue
            named = isinstance(dim, ir.SymbolicDim) and _named(dim)
            label = f"dimension {axis} ('{dim.value}')" if named and isinstance(dim, ir.SymbolicDim) else f"dimension {axis}"
            remedy = f"Set input_shapes, for example input_shapes='{value.name}:{_example(value.shape)}'"
            if named and isinstance(dim, ir.SymbolicDim):
                remedy += f" or input_shapes='{dim.value}={_example_size(axis)}'"
            raise ShapeError(
                f"{label} of input '{value.name}' ({show(value.shape)}) is dynamic and has no value; "
                "the NPU takes fixed shapes only",
                remedy=remedy + ".",
            )

    def _substituted(self, shape: ir.Shape | None) -> ir.Shape | None:
        if shape is None or shape.is_static():
            return shape
        dims: list[int | str | None] = []
        for dim in shape:
            if isinstance(dim, int):
                dims.append(dim)
            else:
                dims.append(self.dimensions.get(str(dim.value), dim.value) if dim.value is not None else None)
        return ir.Shape(dims)


def is_tensor(value: ir.Value) -> bool:
    """Whether a value is a plain tensor, as opposed to a sequence, map or optional."""
    return value.type is None or isinstance(value.type, ir.TensorType)


def names_in(shape: ir.Shape | None) -> list[str]:
    """The dimension names in a shape that can be given a value."""
    return [str(dim.value) for dim in shape or () if isinstance(dim, ir.SymbolicDim) and _named(dim)]


def show(shape: ir.Shape) -> str:
    """A shape for people: 1,3,?,width."""
    return ",".join(str(dim if isinstance(dim, int) else dim.value or "?") for dim in shape)


def _named(dim: ir.SymbolicDim) -> bool:
    # Paddle writes '?' where it knows nothing: the same text on two axes says nothing about their being equal.
    return dim.value is not None and str(dim.value) not in ("", "?")


def _example_size(axis: int) -> int:
    return 1 if axis == 0 else _EXAMPLE_SIZE


def _example(shape: ir.Shape) -> str:
    return ",".join(str(dim if isinstance(dim, int) and dim >= 0 else _example_size(axis)) for axis, dim in enumerate(shape))
