"""What comes in: damaged, foreign, oversized and hostile models get an error that says what is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rknn_ep.errors import ModelError, RknnEpError
from rknn_ep.graph import load_model, normalize, serialize
from rknn_ep.graph.normalize import UNFORESEEN
from tests.graph.helpers import parse

TEXT = "g (float[1,4] x) => (float[1,4] y) { a = Add(x, w)  y = Relu(a) }"


def model(**changes: int) -> onnx.ModelProto:
    proto = parse(TEXT, w=np.ones((1, 4), np.float32))
    for name, value in changes.items():
        if name == "opset":
            proto.opset_import[0].version = value
        else:
            setattr(proto, name, value)
    return proto


def write(folder: Path, content: bytes, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_model_comes_back_from_file_and_from_bytes(tmp_path: Path) -> None:
    content = model().SerializeToString()
    for source in (content, write(tmp_path, content), str(tmp_path / "model.onnx")):
        loaded = load_model(source)
        assert [node.op_type for node in loaded.graph] == ["Add", "Relu"]
        assert serialize(loaded) == serialize(load_model(serialize(loaded)))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not an ONNX model, or it is damaged"),
        (b"TFL3" * 100, "not an ONNX model, or it is damaged"),
        (b"{}", "not an ONNX model"),
        (onnx.ModelProto().SerializeToString() + b"\x08\x08", "no graph and no opset"),
    ],
    ids=["empty", "picture", "tflite", "text", "header"],
)
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(ModelError, match=says) as caught:
        load_model(path)
    assert "model.onnx" in str(caught.value)


def test_every_truncation_of_a_model_is_refused_or_whole() -> None:
    content = model().SerializeToString()
    for length in range(len(content)):
        with pytest.raises(ModelError):
            load_model(content[:length])


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_a_model_with_flipped_bytes_is_normalised_or_refused_but_never_crashes(data: st.DataObject) -> None:
    content = bytearray(model().SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        serialize(normalize(load_model(bytes(content))).model)
    except RknnEpError as error:
        assert UNFORESEEN not in str(error), error.__cause__


def test_a_folder_or_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        load_model(tmp_path)
    with pytest.raises(ModelError, match=r"cannot read the model .*none\.onnx"):
        load_model(tmp_path / "none.onnx")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"opset": 9999}, "uses opset 9999; the installed onnx"),
        ({"opset": 0}, "opset 0, which never was"),
        ({"opset": -3}, "opset -3, which never was"),
        ({"ir_version": 9999}, "IR version 9999"),
        ({"ir_version": 0}, "no IR version"),
    ],
    ids=["future", "zero", "negative", "future-ir", "no-ir"],
)
def test_an_absurd_version_is_refused(changes: dict[str, int], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        load_model(model(**changes).SerializeToString())


def test_operators_that_were_redefined_before_opset_7_are_refused_and_others_read() -> None:
    with pytest.raises(ModelError, match="opset 5"):
        normalize(load_model(model(opset=5).SerializeToString()))
    plain = parse("g (bool[2] x) => (bool[2] y) { y = Not(x) }", opset=1)
    assert normalize(load_model(plain.SerializeToString())).opset == 17


def test_a_value_that_nothing_makes_is_named() -> None:
    proto = model()
    del proto.graph.initializer[:]
    with pytest.raises(ModelError, match="Add -> 'a' reads 'w', which nothing makes"):
        load_model(proto.SerializeToString())
    proto = model()
    proto.graph.output[0].name = "z"
    with pytest.raises(ModelError, match="nothing makes the output 'z'"):
        load_model(proto.SerializeToString())


def test_a_value_made_twice_and_a_cycle_are_refused() -> None:
    proto = model()
    proto.graph.node.append(onnx.helper.make_node("Relu", ["x"], ["a"]))
    with pytest.raises(ModelError, match="'a' is made twice"):
        load_model(proto.SerializeToString())
    proto = model()
    proto.graph.node[0].input[1] = "y"
    with pytest.raises(ModelError, match="damaged"):
        load_model(proto.SerializeToString())


def test_nodes_out_of_order_are_sorted() -> None:
    proto = model()
    first = proto.graph.node.pop(0)
    proto.graph.node.append(first)
    assert [node.op_type for node in load_model(proto.SerializeToString()).graph] == ["Add", "Relu"]


def test_local_functions_are_expanded() -> None:
    proto = onnx.parser.parse_model(
        """<ir_version: 9, opset_import: ["": 17, "own": 1]>
        g (float[2] x) => (float[2] y) { y = own.twice(x) }
        <domain: "own", opset_import: ["": 17]> twice (a) => (b) { b = Add(a, a) }"""
    )
    assert [node.op_type for node in load_model(proto.SerializeToString()).graph] == ["Add"]


@pytest.mark.parametrize("dims", [[1, 5], [1 << 40], [-1]])
def test_a_tensor_without_its_bytes_is_refused(dims: list[int]) -> None:
    proto = model()
    proto.graph.initializer[0].dims[:] = dims
    with pytest.raises(ModelError, match="initializer 'w'"):
        load_model(proto.SerializeToString())


def test_a_tensor_of_an_unknown_type_is_refused() -> None:
    proto = model()
    proto.graph.initializer[0].data_type = 77
    with pytest.raises(ModelError, match="element type 77"):
        load_model(proto.SerializeToString())


def test_a_model_file_over_2_gib_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as file:
        file.truncate(3 << 30)  # sparse
    with pytest.raises(ModelError, match=r"3\.0 GiB; models over 2 GiB are not supported"):
        load_model(path)


# ------------------------------------------------------------------------------------------------ external data


def external(folder: Path, location: str = "weights.bin", data: bytes | None = None, **entries: str) -> Path:
    proto = model()
    tensor = proto.graph.initializer[0]
    (folder / "weights.bin").write_bytes(tensor.raw_data if data is None else data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    return write(folder, proto.SerializeToString())


def test_weights_beside_the_model_are_read_lazily_and_written_inside(tmp_path: Path) -> None:
    view = normalize(load_model(external(tmp_path)))
    whole = onnx.ModelProto.FromString(serialize(view.model))
    assert np.array_equal(onnx.numpy_helper.to_array(whole.graph.initializer[0]), np.ones((1, 4), np.float32))
    kept = onnx.ModelProto.FromString(serialize(view.original.model))
    assert kept.graph.initializer[0].data_location != onnx.TensorProto.EXTERNAL
    # The model itself still points at its file.
    assert type(view.original.model.graph.initializers["w"].const_value).__name__ == "ExternalTensor"


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "sub/../../weights.bin", "C:\\weights.bin"])
def test_a_data_path_that_leaves_the_folder_is_refused(tmp_path: Path, location: str) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(16))
    with pytest.raises(ModelError, match="leaves the model's folder"):
        load_model(external(tmp_path / "inner", location))


def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (tmp_path / "secret").write_bytes(bytes(16))
    (inner / "out").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match=r"a link to .*secret"):
        load_model(external(inner, "out"))
    (inner / "within").symlink_to(inner / "weights.bin")
    normalize(load_model(external(inner, "within")))


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(ModelError, match=r"loop', which cannot be read"):
        load_model(external(tmp_path, "loop"))


def test_a_hard_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(16))
    os.link(tmp_path / "secret", tmp_path / "other")
    with pytest.raises(ModelError, match="2 hard links"):
        load_model(external(tmp_path, "other"))


@pytest.mark.parametrize(
    ("entries", "data", "says"),
    [
        ({"location": "gone.bin"}, None, r"gone\.bin', which cannot be read"),
        ({"location": "."}, None, "no regular file"),
        ({"location": ""}, None, "does not say which"),
        ({}, bytes(15), "needs bytes 0 to 16, but the file has 15"),
        ({"offset": "8"}, None, "needs bytes 8 to 24"),
        ({"offset": "-8"}, None, "at offset -8"),
        ({"length": "4"}, None, "4 bytes at offset 0 do not hold the tensor's 16 bytes"),
        ({"offset": "x"}, None, "not a number"),
    ],
    ids=["missing", "folder", "unnamed", "short", "past-end", "negative", "length", "words"],
)
def test_a_data_file_that_does_not_hold_the_tensor_is_refused(
    tmp_path: Path, entries: dict[str, str], data: bytes | None, says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        load_model(external(tmp_path, **{"location": "weights.bin", **entries}, data=data))


def test_bytes_with_external_data_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="came as bytes"):
        load_model(external(tmp_path).read_bytes())


def test_weights_over_2_gib_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = external(tmp_path)
    proto = onnx.ModelProto.FromString(path.read_bytes())
    proto.graph.initializer[0].dims[:] = [3, 1 << 28]
    path.write_bytes(proto.SerializeToString())
    with (tmp_path / "weights.bin").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(ModelError, match="more than 2 GiB of weights"):
        load_model(path)


def test_a_model_that_would_exceed_2_gib_as_bytes_is_refused_before_it_is_written() -> None:
    loaded = load_model(model().SerializeToString())
    shape = ir.Shape((3, 1 << 28))
    tensor = ir.LazyTensor(lambda: pytest.fail("its data was read"), dtype=ir.DataType.FLOAT, shape=shape, name="w")
    loaded.graph.initializers["w"].const_value = tensor
    with pytest.raises(ModelError, match=r"3\.0 GiB of weights; models over 2 GiB are not supported"):
        serialize(loaded)


@pytest.mark.parametrize(
    "text",
    ["g (float[2] x) => (float[2] x) { }", "g () => (float[1,4] w) { }", "g (float[1,4] x) => (float[1,4] x, float[1,4] w) { }"],
)
def test_a_graph_without_nodes_is_a_view_without_nodes(text: str) -> None:
    proto = parse(text, **({"w": np.ones((1, 4), np.float32)} if "w" in text else {}))
    view = normalize(load_model(proto.SerializeToString()))
    assert view.nodes == () and [value.name for value in view.model.graph.outputs] == [value.name for value in proto.graph.output]
