"""Small models and what a host runtime would see of their partitions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from rknn_ep.graph import View, load_model, normalize
from rknn_ep.partitioning.capability import judge
from rknn_ep.partitioning.partitioner import Plan, plan
from rknn_ep.partitioning.targets import all_targets
from rknn_ep.records import Target, Verdict

TARGETS: dict[str, Target] = {target.name: target for target in all_targets()}
FLOAT = TensorProto.FLOAT
PLANE = (1, 4, 8, 8)


def node(op_type: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> onnx.NodeProto:
    """A node named after its first output."""
    return helper.make_node(op_type, list(inputs), list(outputs), name=f"n_{outputs[0]}", **attributes)


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, Sequence[int | str | None]],
    outputs: Sequence[str],
    constants: Mapping[str, np.ndarray[Any, Any] | np.generic] | None = None,
    *,
    types: Mapping[str, int] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model; inputs are float unless `types` says otherwise, outputs are inferred."""
    types = types or {}
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info(name, types.get(name, FLOAT), shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, types.get(name, FLOAT), None) for name in outputs],
        [numpy_helper.from_array(np.array(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=9)
    return onnx.shape_inference.infer_shapes(model)


def rms_normalization(scale: str) -> list[onnx.NodeProto]:
    """RMS normalisation of x over its last axis written out, the output y; reads the constants two, epsilon and `scale`."""
    return [
        node("Pow", ["x", "two"], ["a"]),
        node("ReduceMean", ["a"], ["b"], axes=[-1]),
        node("Add", ["b", "epsilon"], ["c"]),
        node("Sqrt", ["c"], ["d"]),
        node("Div", ["x", "d"], ["e"]),
        node("Mul", ["e", scale], ["y"]),
    ]


def view_of(model: onnx.ModelProto) -> View:
    return normalize(load_model(model.SerializeToString()))


def one(
    op_type: str, *shapes: Sequence[int], consts: Mapping[int, Any] | None = None, opset: int = 17, **attributes: Any
) -> View:
    """The view of a model of one node; `consts` puts constants at input positions, None leaves an input out."""
    consts = consts or {}
    total = len(shapes) + len(consts)
    free = iter(shapes)
    names, inputs, constants = [], {}, {}
    for position in range(total):
        if position in consts:
            value = consts[position]
            names.append("" if value is None else f"c{position}")
            if value is not None:
                constants[f"c{position}"] = np.asarray(value)
        else:
            names.append(f"x{position}")
            inputs[f"x{position}"] = next(free)
    return view_of(build([node(op_type, names, ["y"], **attributes)], inputs, ["y"], constants, opset=opset))


def verdict(view: View, target: str = "rk3588", precision: str = "fp16") -> Verdict:
    """The verdict on the last node."""
    return judge(view, TARGETS[target], precision)[-1]


def planned(model: onnx.ModelProto, target: str = "rk3588", precision: str = "fp16", **options: Any) -> Plan:
    options.setdefault("min_partition_macs", 0)
    return plan(view_of(model), TARGETS[target], precision, **options)


@dataclass(frozen=True)
class Seen:
    """The original graph as a runtime sees it."""

    edges: list[tuple[int, int]]
    reads: list[list[str]]
    makes: list[list[str]]
    initializers: set[str]
    outputs: set[str]

    @classmethod
    def of(cls, model: onnx.ModelProto) -> Seen:
        reads = [[name for name in node.input if name] for node in model.graph.node]
        makes = [[name for name in node.output if name] for node in model.graph.node]
        maker = {name: index for index, names in enumerate(makes) for name in names}
        edges = [(maker[name], index) for index, names in enumerate(reads) for name in names if name in maker]
        initializers = {item.name for item in model.graph.initializer}
        return cls(edges, reads, makes, initializers, {item.name for item in model.graph.output})

    def acyclic(self, sets: Sequence[Collection[int]]) -> bool:
        """Whether the graph stays acyclic when each set becomes one node."""
        home = list(range(len(self.reads)))
        for number, members in enumerate(sets):
            for member in members:
                home[member] = len(self.reads) + number
        follow: dict[int, set[int]] = {}
        for source, target in self.edges:
            if home[source] != home[target]:
                follow.setdefault(home[source], set()).add(home[target])
        waiting: dict[int, int] = dict.fromkeys(set(home), 0)
        for targets in follow.values():
            for target in targets:
                waiting[target] += 1
        ready = [one for one, count in waiting.items() if count == 0]
        done = 0
        while ready:
            done += 1
            for target in follow.get(ready.pop(), ()):
                waiting[target] -= 1
                if waiting[target] == 0:
                    ready.append(target)
        return done == len(waiting)

    def border(self, members: Collection[int]) -> tuple[set[str], set[str]]:
        """(values that come in, values that go out) when `members` become one node."""
        made = {name for member in members for name in self.makes[member]}
        read = {name for member in members for name in self.reads[member]}
        beyond = {name for index, names in enumerate(self.reads) if index not in members for name in names}
        return read - made - self.initializers, made & (beyond | self.outputs)
