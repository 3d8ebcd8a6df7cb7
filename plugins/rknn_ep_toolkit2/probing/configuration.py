"""A configuration: one operator, or a small pattern, with its shapes and attributes; and the ONNX model of it.

    {"nodes": [{"op": "Conv", "inputs": ["x", "w"], "outputs": ["y"], "attributes": {"group": 16}}],
     "inputs": {"x": [1, 16, 32, 32]}, "constants": {"w": {"shape": [16, 1, 3, 3], "fill": "normal"}}, "opset": 13}

An input is a shape (float32) or {"shape", "dtype"}. A constant has `values` (float32 unless `dtype` says otherwise), or a
`shape` and a `fill`: normal, uniform (0.1 to 1), ones, zeros.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DTYPES = {"FLOAT": np.float32, "INT64": np.int64, "BOOL": np.bool_}
IR_VERSION = 9


@dataclass(frozen=True)
class Configuration:
    """What is asked."""

    name: str
    nodes: Sequence[Mapping[str, Any]]
    inputs: Mapping[str, Any]
    constants: Mapping[str, Any] = field(default_factory=dict)
    opset: int = 17
    outputs: Mapping[str, Any] = field(default_factory=dict)
    """Shapes of outputs, where ONNX infers none."""

    @classmethod
    def of(cls, name: str, data: Mapping[str, Any]) -> Configuration:
        """Read the JSON form."""
        return cls(name, data["nodes"], data["inputs"], data.get("constants", {}), data.get("opset", 17), data.get("outputs", {}))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        more = {key: dict(value) for key, value in (("constants", self.constants), ("outputs", self.outputs)) if value}
        return {"nodes": list(self.nodes), "inputs": dict(self.inputs), **more, "opset": self.opset}

    @property
    def operators(self) -> tuple[str, ...]:
        """Operators in order."""
        return tuple(node["op"] for node in self.nodes)

    def model(self) -> onnx.ModelProto:
        """The ONNX model, with shapes inferred; the same bytes every time.

        Raises:
            Exception: of onnx, where the configuration breaks an operator's rules.
        """
        graph = helper.make_graph(
            [
                helper.make_node(
                    node["op"], node["inputs"], node["outputs"], name=f"{node['op']}_{index}", **node.get("attributes", {})
                )
                for index, node in enumerate(self.nodes)
            ],
            "configuration",
            [_declared(name, spec) for name, spec in self.inputs.items()],
            [
                _declared(name, self.outputs[name]) if name in self.outputs else helper.make_empty_tensor_value_info(name)
                for name in self._outputs()
            ],
            [numpy_helper.from_array(_array(name, spec), name) for name, spec in self.constants.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSION)
        made: onnx.ModelProto = onnx.shape_inference.infer_shapes(model, strict_mode=not self.outputs, data_prop=True)
        onnx.checker.check_model(made)
        return made

    def _outputs(self) -> list[str]:
        """What no node reads, in order."""
        read = {name for node in self.nodes for name in node["inputs"]}
        return [name for node in self.nodes for name in node["outputs"] if name and name not in read]


def _declared(name: str, spec: Any) -> onnx.ValueInfoProto:
    shape, dtype = (spec["shape"], spec["dtype"]) if isinstance(spec, Mapping) else (spec, "FLOAT")
    return helper.make_tensor_value_info(name, TensorProto.DataType.Value(dtype), list(shape))


def _array(name: str, spec: Mapping[str, Any]) -> np.ndarray[Any, Any]:
    dtype = DTYPES[spec.get("dtype", "FLOAT")]
    if "values" in spec:
        return np.asarray(spec["values"], dtype)
    shape = tuple(spec["shape"])
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if spec["fill"] == "normal":
        return (random.standard_normal(shape) * 0.5).astype(dtype)
    if spec["fill"] == "uniform":
        return random.uniform(0.1, 1.0, shape).astype(dtype)
    return np.full(shape, 1 if spec["fill"] == "ones" else 0, dtype)
