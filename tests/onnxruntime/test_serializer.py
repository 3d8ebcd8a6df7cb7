"""What the planner receives is the model that ONNX Runtime holds: nothing lost, nothing bent."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.onnxruntime.harness import SHAPE, VERSION, make_model, on_npu, open_session


def received(planner, model: onnx.ModelProto | object) -> onnx.ModelProto:
    """The model as it arrived; ONNX's own checker finds nothing wrong with it."""
    open_session(model)
    arrived = planner.models[-1]
    onnx.checker.check_model(arrived)
    return arrived


def attributes(model: onnx.ModelProto, index: int = 0) -> dict[str, object]:
    return {one.name: helper.get_attribute_value(one) for one in model.graph.node[index].attribute}


def test_numbers_lists_and_strings_of_attributes_arrive(planner):
    model = make_model(
        [helper.make_node("LSTM", ["x", "w", "r"], ["y"], name="cell", activation_alpha=[0.25, 0.5, 1.5],
                          activations=["LeakyRelu", "Tanh", "Elu"], clip=1.25, direction="forward", hidden_size=4)],
        {"x": [2, 1, 3], "w": [1, 16, 3], "r": [1, 16, 4]},
        {"y": [2, 1, 1, 4]},
    )  # fmt: skip
    arrived = received(planner, model)
    found = attributes(arrived)
    assert found["activation_alpha"] == [0.25, 0.5, 1.5]
    assert found["activations"] == [b"LeakyRelu", b"Tanh", b"Elu"]
    assert found["clip"] == 1.25
    assert found["direction"] == b"forward"
    assert found["hidden_size"] == 4
    assert arrived.graph.node[0].name == "cell"


def test_a_string_longer_than_the_first_buffer_arrives(planner):
    text = "".join(chr(97 + index % 26) for index in range(5000))
    model = make_model([helper.make_node("Sin", ["x"], ["y"], name=text)], {"x": SHAPE}, {"y": SHAPE})
    model.graph.node.append(helper.make_node("StringNormalizer", ["s"], ["t"], stopwords=[text, "", "b" * 300], locale="C"))
    model.graph.input.append(helper.make_tensor_value_info("s", TensorProto.STRING, [4]))
    model.graph.output.append(helper.make_tensor_value_info("t", TensorProto.STRING, None))
    arrived = received(planner, model)
    node = next(node for node in arrived.graph.node if node.op_type == "StringNormalizer")
    found = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    assert found["stopwords"] == [text.encode(), b"", b"b" * 300]
    assert {node.name for node in arrived.graph.node} >= {text}


@pytest.mark.parametrize(
    "kind", ["FLOAT", "FLOAT16", "BFLOAT16", "DOUBLE", "INT64", "UINT8", "BOOL", "FLOAT8E4M3FN", "INT4", "UINT4"]
)
def test_initializers_of_every_type_arrive_bit_for_bit(planner, kind):
    kind = TensorProto.DataType.Value(kind)
    values = helper.make_tensor("w", kind, [3, 5], [index % 2 for index in range(15)])
    to_float = helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)
    graph = helper.make_graph(
        [to_float if kind != TensorProto.FLOAT else helper.make_node("Sin", ["w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("w", kind, [3, 5])],  # an initializer that may be overridden is not folded away
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3, 5])],
        [values],
    )
    arrived = received(planner, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10))
    found = next(one for one in arrived.graph.initializer if one.name == "w")
    assert found.data_type == kind
    np.testing.assert_array_equal(numpy_helper.to_array(found), numpy_helper.to_array(values))
    assert arrived.graph.input[0].type.tensor_type.elem_type == kind


def test_string_initializers_arrive(planner):
    words = [b"one", b"", b"zw\xc3\xb6lf", b"x" * 1000]
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Gather", ["w", "i"], ["y"])],
            "g",
            [helper.make_tensor_value_info("i", TensorProto.INT64, [2])],
            [helper.make_tensor_value_info("y", TensorProto.STRING, [2])],
            [helper.make_tensor("w", TensorProto.STRING, [4], words)],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    assert list(received(planner, model).graph.initializer[0].string_data) == words


def test_external_initializers_arrive_with_their_values(planner, tmp_path):
    weights = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    model = make_model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], {"x": [1, 64]}, {"y": [1, 64]}, [numpy_helper.from_array(weights, "w")]
    )
    path = tmp_path / "model.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    arrived = received(planner, path)
    np.testing.assert_array_equal(numpy_helper.to_array(arrived.graph.initializer[0]), weights)


def test_bodies_of_control_flow_arrive_with_the_values_they_borrow(planner):
    value = helper.make_tensor_value_info

    def body(operator: str, inner: list[onnx.NodeProto] = ()):
        nodes = [*inner, helper.make_node(operator, ["x", "w"], [f"out_{operator}"])]
        return helper.make_graph(nodes, operator, [], [value(f"out_{operator}", TensorProto.FLOAT, SHAPE)])

    nested = helper.make_node("If", ["c"], ["unused"], then_branch=body("Mul"), else_branch=body("Div"))
    model = make_model(
        [helper.make_node("If", ["c"], ["z"], then_branch=body("Add", [nested]), else_branch=body("Sub"))],
        {"x": SHAPE, "w": [1]},
        {"z": SHAPE},
    )
    model.graph.input.append(value("c", TensorProto.BOOL, []))
    arrived = received(planner, model)
    found = attributes(arrived)
    assert {name: {node.op_type for node in graph.node} for name, graph in found.items()} == {
        "then_branch": {"Add", "If"},
        "else_branch": {"Sub"},
    }
    assert [list(node.input) for node in found["then_branch"].node if node.op_type == "Add"] == [["x", "w"]]


def test_dynamic_dimensions_keep_their_names(planner):
    model = make_model([helper.make_node("Sin", ["x"], ["y"])], {"x": ["batch", 3, None]}, {"y": ["batch", 3, None]})
    shape = received(planner, model).graph.input[0].type.tensor_type.shape
    assert [dim.dim_param or dim.dim_value for dim in shape.dim] == ["batch", 3, 0]
    assert not shape.dim[2].HasField("dim_value")


def test_scalars_keep_rank_zero_and_unknown_shapes_stay_unknown(planner):
    model = make_model([helper.make_node("Add", ["x", "s"], ["y"])], {"s": []}, {"y": None})
    model.graph.input.insert(0, helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    open_session(model)  # ONNX's checker insists on a shape, even where nobody knows it
    by_name = {one.name: one.type.tensor_type for one in planner.models[-1].graph.input}
    assert by_name["s"].HasField("shape")
    if VERSION >= (1, 24):  # before, ONNX Runtime's interface does not tell the two apart
        assert not by_name["x"].HasField("shape")


def test_left_out_inputs_stay_left_out(planner):
    model = make_model(
        [helper.make_node("Clip", ["x", "", "high"], ["y"])],
        {"x": SHAPE, "high": []},
        {"y": SHAPE},
    )
    assert list(received(planner, model).graph.node[0].input) == ["x", "", "high"]


def test_sequences_keep_their_type(planner):
    sequence = helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, [2])
    model = make_model([helper.make_node("SequenceAt", ["s", "i"], ["y"])], {}, {"y": [2]})
    model.graph.input.extend([sequence, helper.make_tensor_value_info("i", TensorProto.INT64, [])])
    assert received(planner, model).graph.input[0].type.WhichOneof("value") == "sequence_type"


def test_metadata_opsets_and_ir_version_arrive(planner):
    model = make_model([helper.make_node("Sin", ["x"], ["y"])], {"x": SHAPE}, {"y": SHAPE}, opset=16, ir_version=7)
    helper.set_model_props(model, {"character": "a\nb\n%", "empty": ""})
    arrived = received(planner, model)
    assert {one.key: one.value for one in arrived.metadata_props} == {"character": "a\nb\n%", "empty": ""}
    assert ("", 16) in {(one.domain, one.version) for one in arrived.opset_import}
    assert arrived.ir_version == 7


def test_inner_values_bring_the_shapes_that_onnxruntime_inferred(planner):
    model = make_model(
        [helper.make_node("Conv", ["x", "w"], ["c"], strides=[2, 2]), helper.make_node("Relu", ["c"], ["y"])],
        {"x": [1, 3, 9, 9], "w": [8, 3, 3, 3]},
        {"y": None},
    )
    arrived = received(planner, model)
    assert [dim.dim_value for dim in arrived.graph.value_info[0].type.tensor_type.shape.dim] == [1, 8, 4, 4]


def test_an_attribute_that_cannot_be_read_marks_its_node(planner):
    """Optional(type=...) holds a TypeProto, for which ONNX Runtime's interface has no reader."""
    element = helper.make_tensor_type_proto(TensorProto.FLOAT, [2])
    model = make_model([helper.make_node("Optional", [], ["o"], type=element)], {}, {})
    model.graph.output.append(helper.make_value_info("o", helper.make_optional_type_proto(element)))
    model.graph.node.append(helper.make_node("Sin", ["x"], ["y"]))
    model.graph.input.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, [2]))
    model.graph.output.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, [2]))
    open_session(model)
    domains = {node.op_type: node.domain for node in planner.models[-1].graph.node}
    assert domains == {"Optional": "rknn_ep.unreadable", "Sin": ""}


def test_a_model_over_two_gibibytes_is_refused_by_name(planner, tmp_path):
    """The weights are a hole in a file: they take no room on the disk."""
    rows = 2**30 // 4096 + 1
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[rows, 2048], data_location=TensorProto.EXTERNAL)
    for key, text in (("location", "weights.bin"), ("offset", "0"), ("length", str(rows * 2048 * 4))):
        tensor.external_data.add(key=key, value=text)
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(rows * 2048 * 4)
    model = make_model([helper.make_node("Gather", ["w", "i"], ["y"])], {}, {"y": [1, 2048]}, [tensor])
    model.graph.input.append(helper.make_tensor_value_info("i", TensorProto.INT64, [1]))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(Exception, match="larger than 2 GiB"):
        open_session(path)


def test_constant_tensors_of_nodes_arrive(planner):
    """Constant nodes are folded by ONNX Runtime unless its optimiser is off."""
    values = np.arange(48, dtype=np.float32).reshape(SHAPE)
    model = make_model(
        [
            helper.make_node("Constant", [], ["k"], value=numpy_helper.from_array(values)),
            helper.make_node("Add", ["x", "k"], ["y"]),
        ],
        {"x": SHAPE},
        {"y": SHAPE},
    )
    open_session(model, level=ort.GraphOptimizationLevel.ORT_DISABLE_ALL)
    arrived = planner.models[-1]
    found = [numpy_helper.to_array(one) for one in arrived.graph.initializer] + [
        numpy_helper.to_array(one.t) for node in arrived.graph.node for one in node.attribute if one.name == "value"
    ]
    assert any(np.array_equal(one, values) for one in found)


def test_an_empty_plan_leaves_everything_to_the_cpu(planner):
    assert on_npu(open_session(make_model([helper.make_node("Sin", ["x"], ["y"])], {"x": SHAPE}, {"y": SHAPE}))) == []
