"""Random models that exercise every pass at once: hypothesis draws the operators and what they read."""

from __future__ import annotations

import numpy as np
import onnx
from hypothesis import strategies as st
from onnx import helper

SHAPE = (1, 4, 6, 6)
"""Every drawn value has this shape, so that any operator may read any value."""


class Builder:
    """Collects nodes; every method adds operators that read `x` (and `y`) and gives the name of the result."""

    def __init__(self, opset: int, seed: int) -> None:
        self.opset = opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.random = np.random.default_rng(seed)
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def node(self, op_type: str, inputs: list[str], **attributes: object) -> str:
        output = self.name()
        self.nodes.append(helper.make_node(op_type, inputs, [output], **attributes))
        return output

    def constant(self, array: object, dtype: type = np.float32) -> str:
        name = self.name()
        tensor = onnx.numpy_helper.from_array(np.array(array, dtype=dtype), name)
        if self.count % 2:
            self.initializers.append(tensor)
        else:
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        return name

    def numbers(self, *shape: int) -> str:
        return self.constant(self.random.uniform(0.5, 1.5, shape))

    def relu(self, x: str, y: str) -> str:
        return self.node("Relu", [x])

    def identity(self, x: str, y: str) -> str:
        return self.node("Identity", [x])

    def dropout(self, x: str, y: str) -> str:
        return self.node("Dropout", [x])

    def add(self, x: str, y: str) -> str:
        # Halved, so that long chains stay in range.
        return self.node("Mul", [self.node("Add", [x, y]), self.constant(0.5)])

    def conv(self, x: str, y: str) -> str:
        return self.node("Conv", [x, self.constant(self.random.normal(0, 0.3, (4, 4, 1, 1)))])

    def batch_norm(self, x: str, y: str) -> str:
        return self.node("BatchNormalization", [x, *(self.numbers(4) for _ in range(4))])

    def per_channel(self, x: str, y: str) -> str:
        return self.node("Add", [self.node("Mul", [x, self.numbers(4, 1, 1)]), self.numbers(1, 4, 1, 1)])

    def hard_swish(self, x: str, y: str) -> str:
        shifted = self.node("Add", [x, self.constant(3.0)])
        clipped = self.node("Clip", [shifted, self.constant(0.0), self.constant(6.0)])
        return self.node("Div", [self.node("Mul", [x, clipped]), self.constant(6.0)])

    def reshape_by_shape(self, x: str, y: str) -> str:
        flat = self.node("Reshape", [x, self.constant([1, -1], np.int64)])
        return self.node("Reshape", [flat, self.node("Shape", [y])])

    def shape_only(self, x: str, y: str) -> str:
        # y is computed for nothing but its shape.
        turned = self.node("Transpose", [y], perm=[0, 1, 3, 2])
        return self.node("Expand", [x, self.node("Shape", [turned])])

    def softmax(self, x: str, y: str) -> str:
        return self.node("Softmax", [x], axis=1 if self.opset < 13 else -1)

    def squeeze(self, x: str, y: str) -> str:
        if self.opset >= 13:
            axes = self.constant([0], np.int64)
            return self.node("Unsqueeze", [self.node("Squeeze", [x, axes]), axes])
        return self.node("Unsqueeze", [self.node("Squeeze", [x], axes=[0])], axes=[0])

    def gelu(self, x: str, y: str) -> str:
        return self.node("Gelu", [x]) if self.opset >= 20 else self.node("Clip", [x, self.constant(-1.0)])

    def layer_norm(self, x: str, y: str) -> str:
        mean = self.reduce_mean(x)
        difference = self.node("Sub", [x, mean])
        variance = self.reduce_mean(self.node("Pow", [difference, self.constant(2.0)]))
        root = self.node("Sqrt", [self.node("Add", [variance, self.constant(1e-3)])])
        return self.node("Mul", [self.node("Div", [difference, root]), self.numbers(6)])

    def reduce_mean(self, x: str) -> str:
        if self.opset >= 18:
            return self.node("ReduceMean", [x, self.constant([-1], np.int64)], keepdims=1)
        return self.node("ReduceMean", [x], axes=[-1], keepdims=1)

    def constants_only(self, x: str, y: str) -> str:
        return self.node("Mul", [x, self.node("Sqrt", [self.node("Add", [self.numbers(4, 1, 1), self.numbers(1)])])])

    def branch(self, x: str, y: str) -> str:
        result = helper.make_tensor_value_info("then", onnx.TensorProto.FLOAT, SHAPE)
        other = helper.make_tensor_value_info("else", onnx.TensorProto.FLOAT, SHAPE)
        suffix = self.name()
        then = helper.make_graph([helper.make_node("Neg", [x], [f"then{suffix}"])], "then", [], [result])
        otherwise = helper.make_graph([helper.make_node("Abs", [y], [f"else{suffix}"])], "else", [], [other])
        then.output[0].name, otherwise.output[0].name = f"then{suffix}", f"else{suffix}"
        return self.node("If", ["condition"], then_branch=then, else_branch=otherwise)


OPERATORS = [
    "relu", "identity", "dropout", "add", "conv", "batch_norm", "per_channel", "hard_swish", "reshape_by_shape",
    "shape_only", "softmax", "layer_norm", "constants_only", "branch",
    "squeeze", "gelu",
]  # fmt: skip


@st.composite
def models(draw: st.DrawFn) -> onnx.ModelProto:
    """A valid model of one dynamic image input and a condition, with several outputs and perhaps idle nodes."""
    builder = Builder(draw(st.sampled_from([11, 12, 13, 16, 17, 18, 19, 21, 22])), draw(st.integers(0, 2**16)))
    values = ["image"]
    for _ in range(draw(st.integers(1, 14))):
        # Mostly recent values: chains are where passes meet.
        x, y = (values[-min(draw(st.integers(1, 4)), len(values))] for _ in range(2))
        values.append(getattr(builder, draw(st.sampled_from(OPERATORS)))(x, y))
    made = [name for node in builder.nodes for name in node.output if node.op_type not in ("Shape", "Constant")]
    outputs = {values[-1], *draw(st.lists(st.sampled_from(values[1:]), max_size=2))}
    inner = draw(st.lists(st.sampled_from(made), max_size=1))
    outputs |= {name for name in inner if name in _float_values(builder, values)}
    graph = helper.make_graph(
        builder.nodes,
        "random",
        [
            helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["batch", 4, "height", 6]),
            helper.make_tensor_value_info("condition", onnx.TensorProto.BOOL, []),
        ],
        [
            onnx.ValueInfoProto(name=name, type=helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None))
            for name in sorted(outputs)
        ],
        builder.initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", builder.opset)], ir_version=8)


def _float_values(builder: Builder, values: list[str]) -> set[str]:
    """Values inside a drawn pattern that depend on the image: they may be outputs too."""
    known = set(values)
    for node in builder.nodes:
        if node.op_type in ("Add", "Mul", "Sub", "Div", "Clip", "Pow", "Sqrt") and known & set(node.input):
            known.update(node.output)
    return known
