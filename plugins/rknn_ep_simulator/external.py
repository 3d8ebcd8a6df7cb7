"""Weights beside the model: raw tensors at aligned offsets, one file for every model of a bundle."""

from __future__ import annotations

import hashlib

import onnx
import onnx_ir as ir

ALIGNMENT = 64
"""Bytes: a cache line, and what the widest vector instructions like."""
SMALLEST = 1024
"""Bytes from which a tensor leaves the model; shapes and scales stay where shape inference and optimisers see them."""


class WeightFile:
    """Collects the large tensors of several models; equal tensors are kept once."""

    def __init__(self, location: str) -> None:
        self._location = location
        self._parts: list[bytes] = []
        self._size = 0
        self._known: dict[bytes, int] = {}

    def detach(self, model: ir.Model) -> bytes:
        """Serialise `model` with its large tensors in this file."""
        proto = ir.to_proto(model)
        for tensor in proto.graph.initializer:
            content = tensor.raw_data
            if len(content) < SMALLEST:
                continue
            offset = self._place(content)
            tensor.ClearField("raw_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", self._location), ("offset", str(offset)), ("length", str(len(content)))):
                tensor.external_data.add(key=key, value=value)
        return bytes(proto.SerializeToString(deterministic=True))

    def content(self) -> bytes:
        """The file."""
        return b"".join(self._parts)

    def _place(self, content: bytes) -> int:
        digest = hashlib.sha256(content).digest()
        if digest not in self._known:
            padding = -self._size % ALIGNMENT
            self._known[digest] = self._size + padding
            self._parts += [bytes(padding), content]
            self._size += padding + len(content)
        return self._known[digest]
