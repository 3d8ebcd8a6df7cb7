"""What every rule is made of: the case a node is an instance of, the refusal, and the small checks.

A rule looks at one node and names the probed case that it is an instance of, with the figures that limits apply to;
or it raises `Refuse`. Rules know no SoC: the table says what becomes of the case there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

import numpy as np

from rknn_ep.records import NodeFacts, TensorFacts

FLOATS = ("FLOAT", "FLOAT16")
MAX_RANK = 5
"""The native layouts are four-dimensional; the compiler folds one more dimension into four and back."""
UP_TO_FIVE = tuple(range(1, MAX_RANK + 1))


@dataclass(frozen=True)
class Case:
    """The probed configuration that stands for a node."""

    name: str
    """A case of the capability table."""
    native: str = ""
    """The native operator whose limits apply; empty: none are listed."""
    figures: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Quantity -> this node's values: kernel -> (3, 3)."""
    note: str = ""
    """What a reader of the verdict should know."""
    heavy: bool = False
    """Breaking a limit refuses the node: it is too much work for the vendor's CPU side."""


def lowered(operators: str) -> str:
    """The note of a case that was probed written out: whoever hands the partition to the compiler writes it so."""
    return f"handed to the compiler as {operators}"


class Refuse(Exception):  # noqa: N818  (a verdict on its way, not a failure)
    """The node is no instance of any probed case."""

    def __init__(self, reason: str, detail: str, limit: str = "") -> None:
        super().__init__(detail)
        self.reason, self.detail, self.limit = reason, detail, limit


Rule = Callable[[NodeFacts], Case]


def shape(tensor: TensorFacts) -> tuple[int, ...]:
    """The static shape; every tensor that reaches a rule has one."""
    assert tensor.shape is not None
    return tensor.shape


def data(node: NodeFacts, index: int = 0) -> TensorFacts:
    """Input `index`, which must be there.

    Raises:
        Refuse: it is omitted.
    """
    if index >= len(node.inputs) or (tensor := node.inputs[index]) is None:
        raise Refuse("attribute", f"input {index} is omitted", f"input {index} is given")
    return tensor


def given(node: NodeFacts, index: int) -> TensorFacts | None:
    """Input `index`, or None when it is omitted."""
    return node.inputs[index] if index < len(node.inputs) else None


def float_types(node: NodeFacts, *, outputs: Sequence[str] = FLOATS) -> None:
    """Every input that is not constant is float, every output of one of the types in `outputs`.

    Raises:
        Refuse: one is not.
    """
    for tensor in node.inputs:
        if tensor is not None and tensor.constant is None:
            typed(tensor, FLOATS)
    for tensor in node.outputs:
        if tensor.name:
            typed(tensor, outputs)


def typed(tensor: TensorFacts, types: Sequence[str]) -> None:
    """The tensor is of one of the types.

    Raises:
        Refuse: it is not.
    """
    if tensor.dtype not in types:
        raise Refuse("dtype", f"'{tensor.name}' is {tensor.dtype or 'untyped'}", f"{' or '.join(types)}")


def ranked(tensor: TensorFacts, *ranks: int) -> int:
    """The tensor's rank, which is one of these.

    Raises:
        Refuse: it is another.
    """
    rank = len(shape(tensor))
    if rank not in ranks:
        span = f"{ranks[0]} to {ranks[-1]}" if len(ranks) > 2 else " or ".join(map(str, ranks))
        raise Refuse("rank", f"'{tensor.name}' has rank {rank}", f"rank {span}")
    return rank


def fixed(node: NodeFacts, *indices: int) -> None:
    """These inputs are constant or omitted.

    Raises:
        Refuse: one is computed at run time.
    """
    for index in indices:
        tensor = given(node, index)
        if tensor is not None and tensor.constant is None:
            raise Refuse("constant", f"input {index} ('{tensor.name}') is computed at run time", f"input {index} is constant")


def computed(node: NodeFacts, *indices: int) -> bool:
    """Whether any of these inputs is given and computed at run time."""
    return any((tensor := given(node, index)) is not None and tensor.constant is None for index in indices)


def values(node: NodeFacts, index: int) -> list[int] | None:
    """The integers of a constant input, or None when it is omitted.

    Raises:
        Refuse: the input is computed at run time.
    """
    fixed(node, index)
    tensor = given(node, index)
    if tensor is None or tensor.constant is None:
        return None
    return [int(value) for value in np.asarray(tensor.constant).reshape(-1)]


def integer(node: NodeFacts, name: str, default: int) -> int:
    """An integer attribute."""
    return int(node.attributes.get(name, default))


def integers(node: NodeFacts, name: str, default: Sequence[int]) -> list[int]:
    """An attribute that lists integers."""
    return [int(value) for value in node.attributes.get(name, default)]


def text(node: NodeFacts, name: str, default: str) -> str:
    """A string attribute."""
    value = node.attributes.get(name, default)
    return value.decode() if isinstance(value, bytes) else str(value)


def expect(node: NodeFacts, name: str, default: int, wanted: int) -> None:
    """An integer attribute has the one value that was probed.

    Raises:
        Refuse: it has another.
    """
    found = integer(node, name, default)
    if found != wanted:
        raise Refuse("attribute", f"{name} is {found}", f"{name} = {wanted}")


def one_output(node: NodeFacts) -> None:
    """Only the first output is used.

    Raises:
        Refuse: a further one is.
    """
    further = [tensor.name for tensor in node.outputs[1:] if tensor.name]
    if further:
        raise Refuse("attribute", f"output '{further[0]}' is used", "only the first output")


def axis_of(node: NodeFacts, rank: int, default: int) -> int:
    """The attribute `axis`, counted from the front."""
    axis = integer(node, "axis", default)
    return axis + rank if axis < 0 else axis


def of_volumes(rule: Rule) -> Rule:
    """The rule, with the figure that limits the volumes of some SoCs.

    Where the planes of a single volume are no multiple of 16 values, RV1106's compiler folds all of them into one dimension,
    and dies where there are too many (256 went, 320 of some operators; it says "Squeezed bytes overflow!").
    """

    def judge(node: NodeFacts) -> Case:
        case = rule(node)
        for tensor in (*node.inputs, *node.outputs):
            dims = shape(tensor) if tensor is not None and tensor.name else ()
            if len(dims) == MAX_RANK and dims[0] == 1 and prod(dims[3:]) % 16:
                return replace(case, native="Volume", figures={"odd planes": (dims[1] * dims[2],)}, heavy=True)
        return case

    return judge
