"""Random models for property tests: what the NPU takes, what its CPU side takes, what nobody takes, and shape chains."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from tests.partitioning.helpers import PLANE, build, node

REFUSED = "Tan"
"""The operator that the properties exclude."""
UNARY = ("Relu", "Sigmoid", "Exp", "Ceil", "Identity")
BINARY = ("Add", "Mul")
KINDS = ("unary", "unary", "refused", "refused", "binary", "binary", "constant", "shape", "pair")


@st.composite
def models(draw: st.DrawFn, most: int = 24) -> onnx.ModelProto:
    """A model over planes of one shape, in which any two values can meet."""
    values = ["in0", "in1"]
    nodes: list[onnx.NodeProto] = []
    constants: list[str] = []

    def pick() -> str:
        return values[-1 - min(draw(st.integers(0, 7)), len(values) - 1)]

    for index in range(draw(st.integers(1, most))):
        out = f"v{index}"
        kind = draw(st.sampled_from(KINDS))
        if kind == "refused":
            nodes.append(node(REFUSED, [pick()], [out]))
        elif kind == "unary":
            nodes.append(node(draw(st.sampled_from(UNARY)), [pick()], [out]))
        elif kind == "binary":
            nodes.append(node(draw(st.sampled_from(BINARY)), [pick(), pick()], [out]))
        elif kind == "constant":
            if not constants or draw(st.booleans()):
                constants.append(f"k{index}")
                value = numpy_helper.from_array(np.full(PLANE, 0.5, np.float32))
                nodes.append(helper.make_node("Constant", [], [constants[-1]], name=f"n_k{index}", value=value))
            nodes.append(node("Add", [pick(), draw(st.sampled_from(constants))], [out]))
        elif kind == "shape":
            nodes.append(node("Shape", [pick()], [f"s{index}"]))
            nodes.append(node("Reshape", [pick(), f"s{index}"], [out]))
        else:
            source = pick()
            nodes += [node("Sigmoid", [source], [f"g{index}"]), node("Mul", [source, f"g{index}"], [out])]
            if draw(st.booleans()):
                values.append(f"g{index}")
        values.append(out)
    read = {name for item in nodes for name in item.input}
    leaves = [name for name in values[2:] if name not in read]
    extra = [name for name in values[2:] if name in read and draw(st.integers(0, 9)) == 0]
    return build(nodes, {"in0": PLANE, "in1": PLANE}, leaves + extra)


def shuffled(model: onnx.ModelProto, draw: Callable[[st.SearchStrategy[int]], int]) -> tuple[onnx.ModelProto, dict[str, str]]:
    """The same graph with its nodes in another topological order and all names changed; new value name -> old one."""
    nodes = list(model.graph.node)
    made = {name for item in nodes for name in item.output}
    known: set[str] = set()
    order = []
    while nodes:
        ready = [item for item in nodes if all(name in known or name not in made for name in item.input)]
        chosen = ready[draw(st.integers(0, len(ready) - 1))]
        nodes.remove(chosen)
        order.append(chosen)
        known.update(chosen.output)
    rename = {name: f"r_{hash(name) % 9973}_{name[::-1]}" for name in made}
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.node[:]
    del copy.graph.value_info[:]
    for item in order:
        new = copy.graph.node.add()
        new.CopyFrom(item)
        new.name = ""
        new.input[:] = [rename.get(name, name) for name in item.input]
        new.output[:] = [rename.get(name, name) for name in item.output]
    for output in copy.graph.output:
        output.name = rename.get(output.name, output.name)
    return copy, {new: old for old, new in rename.items()}
