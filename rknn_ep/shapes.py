"""Shapes of a dynamic model's inputs as users write them: one choice (`input_shapes`), or several (`dynamic_input`).

`images:1,3,480,480;tokens:1,128` goes by the inputs' names, `height=480;width=640` by the names of symbolic dimensions, and in
`dynamic_input` alone `1,3,480,480;1,128` by position.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rknn_ep.errors import OptionError, ShapeError

MOST_SHAPES = 255
"""A bundle has room for 1024 entries, four a choice. rknn_input_range holds 512 (RKNN_MAX_DYNAMIC_SHAPE_NUM)."""


@dataclass(frozen=True)
class ShapeSet:
    """One choice of input shapes."""

    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Input name -> dimensions."""
    dimensions: Mapping[str, int] = field(default_factory=dict)
    """Symbolic dimension name -> value."""
    positional: tuple[tuple[int, ...], ...] = ()
    """Dimensions of each input in the model's order, where they are not named."""

    def named(self, inputs: Sequence[str]) -> Mapping[str, tuple[int, ...]]:
        """Input name -> dimensions, for a model with these inputs.

        Raises:
            ShapeError: positions that the model has not.
        """
        if not self.positional:
            return self.shapes
        if len(self.positional) != len(inputs):
            raise ShapeError(
                f"dynamic_input: '{self}' has {len(self.positional)} shapes, the model has the inputs {list(inputs)}",
                remedy="Give a shape for each input, or name them: images:1,3,480,480.",
            )
        return dict(zip(inputs, self.positional, strict=True))

    def __str__(self) -> str:
        """The text that `parse_dynamic_input` reads back."""
        parts = [_dims(dims) for dims in self.positional]
        parts += [f"{name}:{_dims(dims)}" for name, dims in sorted(self.shapes.items())]
        parts += [f"{name}={value}" for name, value in sorted(self.dimensions.items())]
        return ";".join(parts)


def parse_input_shapes(value: Any) -> tuple[dict[str, tuple[int, ...]], dict[str, int]]:
    """Read `name:1,3,480,480;...` and `dimension=480;...` (or a mapping of either) into (shapes, dimensions).

    Raises:
        OptionError: a part is of neither form, or a dimension is not positive.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    dimensions: dict[str, int] = {}
    if isinstance(value, Mapping):
        value = ";".join(_shape_text(name, item) for name, item in value.items())
    for part in filter(None, (part.strip() for part in str(value).split(";"))):
        name, colon, dims = part.rpartition(":")
        try:
            if colon and name and dims.replace(",", "").replace(" ", "").lstrip("-").isdigit():
                shapes[name] = tuple(_positive(dim) for dim in dims.split(","))
                continue
            name, equals, size = part.rpartition("=")
            if equals and name:
                if "," in size:
                    raise OptionError(
                        f"input_shapes: '{part}': did you mean '{name}:{size}'? A shape follows ':', one dimension '='."
                    )
                dimensions[name] = _positive(size)
                continue
        except ValueError as error:
            raise OptionError(f"input_shapes: '{part}': {error}") from error
        raise OptionError(
            f"input_shapes: '{part}' is neither name:1,3,480,480 nor dimension=480",
            remedy="Example: input_shapes='images:1,3,640,640;sequence=128'.",
        )
    return shapes, dimensions


def parse_dynamic_input(value: Any) -> tuple[ShapeSet, ...]:
    """Read the choices of `dynamic_input`, each once.

    Args:
        value: text with `|` between choices, or a list of choices: each text, a mapping, or as the vendor's toolkit takes it a
            list of shapes, one for each input.

    Raises:
        OptionError: no shapes, more than rknn_api holds, or a part of no known form.
    """
    choices = [part for part in value.split("|") if part.strip()] if isinstance(value, str) else value
    if not isinstance(choices, Iterable) or isinstance(choices, Mapping):
        raise OptionError("dynamic_input is a list of choices of input shapes", remedy="[[[1,3,48,160]], [[1,3,48,320]]]")
    found = tuple(dict.fromkeys(str(_choice(one)) for one in choices))
    if not 1 <= len(found) <= MOST_SHAPES:
        raise OptionError(f"dynamic_input has {len(found)} choices of input shapes: it takes 1 to {MOST_SHAPES}")
    return tuple(_choice(one) for one in found)


def _choice(value: Any) -> ShapeSet:
    if isinstance(value, str) and not any(mark in value for mark in ":="):
        value = [part.split(",") for part in value.split(";") if part.strip()]
    if isinstance(value, (str, Mapping)):
        try:
            shapes, dimensions = parse_input_shapes(value)
        except OptionError as error:
            raise OptionError(str(error).replace("input_shapes", "dynamic_input", 1), remedy=error.remedy) from error
        if not shapes and not dimensions:
            raise OptionError("dynamic_input: a choice without shapes")
        return ShapeSet(shapes, dimensions)
    try:
        positional = tuple(tuple(_positive(dim) for dim in shape) for shape in value)
    except (TypeError, ValueError) as error:
        raise OptionError(
            f"dynamic_input: {value!r} is no choice of input shapes: {error}",
            remedy="One shape for each input, as [[1,3,48,160]], or images:1,3,48,160.",
        ) from error
    if not positional:
        raise OptionError("dynamic_input: a choice without shapes")
    return ShapeSet(positional=positional)


def _dims(dims: Iterable[int]) -> str:
    return ",".join(map(str, dims))


def _shape_text(name: str, item: Any) -> str:
    if isinstance(item, str):
        return f"{name}:{item}"
    return f"{name}:{','.join(map(str, item))}" if isinstance(item, Iterable) else f"{name}={item}"


def _positive(value: Any) -> int:
    try:
        number = int(value)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError(f"{str(value).strip() or 'nothing'} is not a positive dimension")
    return number
