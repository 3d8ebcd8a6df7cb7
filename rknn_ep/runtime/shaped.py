"""A session at one choice of input shapes: what its inputs and outputs are, and arrays for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rknn_ep.artifact.native_text import TensorDescription
from rknn_ep.errors import ShapeError
from rknn_ep.runtime.binding import DeviceTensor
from rknn_ep.runtime.executor import NativeExecutor, Specs
from rknn_ep.runtime.forms import Form
from rknn_ep.runtime.source import Source
from rknn_ep.runtime.tensors import TensorInfo

Array = np.ndarray[Any, Any]
Buffer = Callable[[str, int], Array]
"""("input" or "output", number) -> the session's bound memory."""


@dataclass(frozen=True)
class Shaped:
    """Inputs and outputs with their shapes, and who runs them."""

    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    native: NativeExecutor | None
    """None for devices that are Python objects."""
    takes: Specs
    gives: Specs

    @classmethod
    def of(cls, source: Source, index: int, native: NativeExecutor | None, buffer: Buffer) -> Shaped:
        """The model's choice of that number.

        Raises:
            ArtifactError, ExecutionError: a type that rknn_api or numpy lacks.
        """
        inputs, outputs = (_tensors(source, index, native, buffer, kind) for kind in ("input", "output"))
        takes, gives = ([(index, one.shape, one.dtype) for index, one in enumerate(tensors)] for tensors in (inputs, outputs))
        made = cls(inputs, outputs, native, takes, gives)
        if native is not None:
            native.sized([one.nbytes for one in made.inputs], [one.nbytes for one in made.outputs])
        return made

    def empty(self) -> list[Array]:
        """New arrays for results."""
        return [np.empty(one.shape, one.dtype) for one in self.outputs]

    def arrays(self, inputs: Sequence[Any]) -> list[Array]:
        """The inputs as contiguous arrays.

        Raises:
            ShapeError: another shape or dtype than the model's.
        """
        return [info.array(value) for info, value in zip(self.inputs, inputs, strict=True)]

    def forms(self, inputs: Sequence[Any], layout: str | None, pass_through: Sequence[bool] | None) -> list[Form]:
        """The inputs in types and layouts of the caller's, as `Session.run` takes them.

        Raises:
            OptionError, ShapeError: a layout, shape or type that cannot be.
        """
        passed = [False] * len(inputs) if pass_through is None else list(pass_through)
        if len(passed) != len(inputs):
            raise ShapeError(f"pass_through has {len(passed)} entries for {len(inputs)} inputs")
        return [
            Form.of(info, value, (layout or "NCHW").upper(), through)
            for info, value, through in zip(self.inputs, inputs, passed, strict=True)
        ]

    def checked(self, out: Sequence[Array]) -> list[Array]:
        """Arrays of the caller's for results.

        Raises:
            ShapeError: a number, shape or dtype that is not the outputs', or memory that cannot be filled.
        """
        if len(out) != len(self.outputs):
            raise ShapeError(f"the model has {len(self.outputs)} outputs, not {len(out)}")
        for info, array in zip(self.outputs, out, strict=True):
            if array.shape != info.shape or array.dtype != info.dtype or not array.flags.carray:
                raise ShapeError(
                    f"'{info.name}' fills a writeable contiguous {info.dtype}{list(info.shape)}, "
                    f"not {array.dtype}{list(array.shape)}"
                )
        return list(out)


def _tensors(source: Source, index: int, native: NativeExecutor | None, buffer: Buffer, kind: str) -> tuple[TensorInfo, ...]:
    facts = {} if native is None else native.facts
    names = source.inputs if kind == "input" else source.outputs
    if source.descriptions:
        described = source.descriptions[index]
        tensors = described.inputs if kind == "input" else described.outputs
    else:
        tensors = tuple(_described(facts, f"{kind}.{number}") for number in range(int(facts[f"{kind}s"])))
    return tuple(
        TensorInfo.of(
            tensor,
            names[number] if names else None,
            DeviceTensor.of(facts, f"{kind}.{number}.device") if facts else None,
            partial(buffer, kind, number) if facts else None,
        )
        for number, tensor in enumerate(tensors)
    )


def _described(facts: Mapping[str, str], prefix: str) -> TensorDescription:
    """A tensor of a model that only the device's runtime could read."""
    kind = facts[f"{prefix}.device.type"]
    codes = facts[f"{prefix}.device.qnt_type"] == "AFFINE"
    return TensorDescription(
        name=facts[f"{prefix}.name"],
        dims=tuple(map(int, filter(None, facts[f"{prefix}.dims"].split(",")))),
        dtype=facts[f"{prefix}.dtype"],
        qtype=kind if codes or kind == "FLOAT16" else "NONE",
        scale=float(facts[f"{prefix}.device.scale"]) if codes else 1.0,
        zero_point=int(facts[f"{prefix}.device.zero_point"]) if codes else 0,
    )
