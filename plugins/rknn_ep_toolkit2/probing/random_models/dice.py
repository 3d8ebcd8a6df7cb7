"""What every draw is made of: shapes, choices, and the nodes that it collects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, TypeVar

import numpy as np

from rknn_ep_toolkit2.probing.configuration import Configuration

T = TypeVar("T")
CHANNELS = (1, 2, 3, 4, 6, 8, 10, 16, 20, 24, 32, 48, 64, 96)
LARGEST = 1 << 18
"""Elements of one tensor."""


class Dice:
    """Draws, and builds one configuration."""

    def __init__(self, random: np.random.Generator) -> None:
        self.random = random
        self.nodes: list[dict[str, Any]] = []
        self.inputs: dict[str, Any] = {}
        self.constants: dict[str, Any] = {}
        self.opset = 17

    def configuration(self, name: str) -> Configuration:
        """What was collected."""
        return Configuration(name, tuple(self.nodes), self.inputs, self.constants, self.opset)

    # ------------------------------------------------------------------------------------- drawing

    def integer(self, low: int, high: int) -> int:
        """Both ends included."""
        return int(self.random.integers(low, high + 1))

    def number(self, low: float, high: float) -> float:
        """Three digits."""
        return float(f"{self.random.uniform(low, high):.3g}")

    def chance(self, share: float) -> bool:
        """True in `share` of the cases."""
        return bool(self.random.random() < share)

    def pick(self, values: Sequence[T]) -> T:
        """One of them."""
        return values[int(self.random.integers(len(values)))]

    def shape(self, *ranks: int) -> list[int]:
        """A shape of one of these ranks (2 to 4 by default, mostly 4)."""
        rank = self.pick(ranks or (2, 3, 4, 4, 4))
        while True:
            if rank == 1:
                dims = [self.integer(2, 300)]
            elif rank == 2:
                dims = [self.pick((1, 1, 2, 5, 8, 16)), self.integer(2, 600)]
            elif rank == 3:
                dims = [self.pick((1, 1, 1, 2, 4)), self.integer(2, 80), self.integer(2, 160)]
            else:
                dims = [self.pick((1, 1, 1, 1, 2, 4)), self.pick(CHANNELS)]
                dims += [self.integer(1, 60 if rank == 4 else 12) for _ in range(rank - 2)]
            if prod(dims) <= LARGEST:
                return dims

    def broadcast(self, shape: Sequence[int]) -> list[int]:
        """A shape that broadcasts to `shape`: the same, with ones, or with leading dimensions left out."""
        kind = self.pick(("same", "same", "channel", "ones", "tail"))
        if kind == "channel" and len(shape) > 1:
            return [1, shape[1], *[1] * (len(shape) - 2)]
        if kind == "ones":
            return [dim if self.chance(0.6) else 1 for dim in shape]
        if kind == "tail":
            return list(shape[self.integer(0, len(shape) - 1) :])
        return list(shape)

    # ------------------------------------------------------------------------------------- building

    def input(self, shape: Sequence[int], dtype: str = "FLOAT") -> str:
        """A computed input."""
        name = f"x{len(self.inputs)}"
        self.inputs[name] = list(shape) if dtype == "FLOAT" else {"shape": list(shape), "dtype": dtype}
        return name

    def weight(self, *shape: int, fill: str = "normal") -> str:
        """A constant of floats."""
        return self._constant({"shape": list(shape), "fill": fill})

    def numbers(self, *values: float) -> str:
        """A constant vector of floats."""
        return self._constant({"values": list(values)})

    def scalar(self, value: float) -> str:
        """A constant float without dimensions."""
        return self._constant({"values": value})

    def whole(self, values: Any) -> str:
        """A constant of int64."""
        return self._constant({"dtype": "INT64", "values": values})

    def operand(self, shape: Sequence[int], constant: float = 0.3) -> str:
        """A tensor that is a constant in the given share of the cases."""
        return self.weight(*shape, fill="uniform") if self.chance(constant) else self.input(shape)

    def node(self, op: str, inputs: Sequence[str], outputs: int = 1, **attributes: Any) -> str:
        """A node; its first output's name. Attributes that are None are left out."""
        names = [f"y{len(self.nodes)}"] + [f"y{len(self.nodes)}_{more}" for more in range(1, outputs)]
        given: Mapping[str, Any] = {key: value for key, value in attributes.items() if value is not None}
        made = {"op": op, "inputs": list(inputs), "outputs": names}
        self.nodes.append({**made, "attributes": given} if given else made)
        return names[0]

    def _constant(self, spec: dict[str, Any]) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = spec
        return name
