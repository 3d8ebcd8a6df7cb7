"""Metadata of vendor .rknn files.

`data/two_convolutions_rk3588_int8.rknn` was made by rknn-toolkit2 2.5.0 from a model of our own (Conv 3->8 with Relu,
Conv 8->8 with stride 2, random weights, input [1,3,30,30]) for rk3588, int8, with the custom string below. The compiler's
log said: weights 4.75 KB, internal memory 38.0625 KB.
"""

import contextlib
import json
import struct
from pathlib import Path

import flatbuffers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rknn_ep.artifact.rknn_file import read_metadata
from rknn_ep.errors import ArtifactError
from tests.artifact.mutations import SEEDS, mutated

REAL = Path(__file__).parent / "data" / "two_convolutions_rk3588_int8.rknn"


def test_a_real_file_says_what_the_compiler_log_said() -> None:
    metadata = read_metadata(REAL)
    assert (metadata.file_version, metadata.target, metadata.source, metadata.dynamic) == (6, "rk3588", "ONNX", False)
    assert metadata.compiler.startswith("2.5.0") and metadata.custom_string == "companion: ünïcode"
    assert (metadata.weight_bytes, metadata.internal_bytes) == (4.75 * 1024, 38.0625 * 1024)
    assert metadata.inputs == {"x": {"dtype": "int8", "layout": "NHWC"}} and metadata.outputs["y"]["dtype"] == "int8"
    assert metadata.summary["target_platform"] == ["rk3588"] and "attrs" in metadata.generator
    (graph,) = metadata.graphs
    assert [(node.type, node.unit) for node in graph.nodes] == [
        ("InputOperator", "npu"),
        ("ConvRelu", "npu"),
        ("Conv", "npu"),
        ("OutputOperator", "cpu"),
    ]
    assert metadata.units == {"cpu": 1, "npu": 3}
    (x,), (y,) = graph.inputs, graph.outputs
    assert (x.name, x.dtype, x.kind, x.dims, x.native_dims) == ("x", "INT8", "input", (1, 3, 30, 30), (1, 1, 30, 30, 3))
    assert (y.name, y.dims, y.native_dims, y.zero_point) == ("y", (1, 8, 15, 15), (1, 2, 15, 15, 16), (14,))
    assert x.scale[0] == pytest.approx((x.maximum[0] - x.minimum[0]) / 255, rel=1e-6)
    assert x.size == 30 * 32 * 3, "height * aligned width * channels * size"
    assert x.width_alignment == 16
    assert [graph.tensors[index].name for index in graph.nodes[2].inputs] == ["b", "w2", "w2_bias_0"]


class Table:
    """Slots of a flatbuffer table to be written: str, int, float lists, Table, lists of Tables."""

    def __init__(self, **slots: object) -> None:
        self.slots = {int(name[1:]): value for name, value in slots.items()}

    def write(self, builder: flatbuffers.Builder) -> int:
        made = {slot: self._child(builder, value) for slot, value in self.slots.items() if not isinstance(value, int)}
        builder.StartObject(21)
        for slot, value in self.slots.items():
            if isinstance(value, int):
                (builder.PrependInt8Slot if abs(value) < 100 else builder.PrependInt32Slot)(slot, value, -1)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, made[slot], 0)
        return builder.EndObject()

    @staticmethod
    def _child(builder: flatbuffers.Builder, value: object) -> int:
        if isinstance(value, str):
            return builder.CreateString(value)
        if isinstance(value, Table):
            return value.write(builder)
        assert isinstance(value, list)
        offsets = [item.write(builder) for item in value if isinstance(item, Table)]
        builder.StartVector(4, len(value), 4)
        for item in reversed(offsets or value):
            if offsets:
                builder.PrependUOffsetTRelative(item)
            elif isinstance(item, float):
                builder.PrependFloat32(item)
            else:
                builder.PrependInt32(item)
        return builder.EndVector()


def rknn(root: Table, *, version: int = 6, summary: bytes = b"{}", padding: bytes = b"\0" * 40) -> bytes:
    """A file around a description."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(root.write(builder), file_identifier=b"RKNN")
    content = bytes(builder.Output())
    header = b"RKNN\0\0\0\0" + struct.pack("<QQ", version, len(content)) + padding
    return header + content + struct.pack("<Q", len(summary)) + summary


def tensor(name: str, kind: int, **more: object) -> Table:
    return Table(s0=3, s1=1, s2=kind, s4=[1, 8, 4, 4], s5=name, s10=[0.5], s11=[-128], s12=512, **more)


def two_shapes() -> bytes:
    graphs = [
        Table(
            s0=[tensor("x", 1), tensor("y", 2, s13=1024)],
            s1=[Table(s1="ConvRelu", s2=f"Conv:{size}", s3=2, s4=[0], s5=[1])],
            s2=[0],
            s3=[1],
        )
        for size in (320, 640)
    ]
    io = json.dumps({"x": {"dtype": "int8", "layout": "NHWC"}})
    return rknn(Table(s2=graphs, s3="{}", s7="2.5.0", s8="rk3576", s11="ü", s12=io, s13="not json", s19=Table(s0=4352, s1=41856)))


def test_dynamic_shapes_are_several_graphs_and_broken_json_is_left_out() -> None:
    metadata = read_metadata(two_shapes())
    assert metadata.dynamic and [graph.nodes[0].name for graph in metadata.graphs] == ["Conv:320", "Conv:640"]
    assert metadata.target == "rk3576" and metadata.weight_bytes == 4352 and metadata.outputs == {}
    (y,) = metadata.graphs[1].outputs
    assert (y.scale, y.zero_point, y.offset, y.kind) == ((0.5,), (-128,), 1024, "output")


def test_padding_after_the_header_need_not_be_zero() -> None:
    assert read_metadata(rknn(Table(s8="rk3562"), padding=b"\xaa" * 40)).target == "rk3562"


def test_an_empty_description_reads_as_empty() -> None:
    metadata = read_metadata(rknn(Table()))
    assert (metadata.target, metadata.graphs, metadata.units, metadata.weight_bytes) == ("", (), {}, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not begin with RKNN"),
        (b"ONNX" + bytes(200), "does not begin with RKNN"),
        (b"RKNX" + bytes(200), "RKNN3 stack"),
        (b"RKNN" + bytes(20), "is cut"),
        (rknn(Table(), version=0x1004), "0x1004, which the compiler writes for rv1106 and rv1103b"),
        (rknn(Table(s8="rk3588"))[:90], "is cut"),
        (b"RKNN\0\0\0\0" + struct.pack("<QQ", 6, 8) + bytes(200), "no description is found"),
        (rknn(Table(s2=[Table(s0=[], s2=[3])])), "names a tensor that it does not have"),
    ],
)
def test_other_formats_are_told_apart(content: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        read_metadata(content, "a.rknn")


def test_offsets_that_lead_everywhere_at_once_do_not_take_forever() -> None:
    """A vector of tables all of whose elements are the same table with a long name: small to store, endless to read."""
    count, name = 30_000, "n" * 50_000
    builder = flatbuffers.Builder(1 << 20)
    shared = tensor(name, 3).write(builder)
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(shared)
    tensors = builder.EndVector()
    builder.StartObject(4)
    builder.PrependUOffsetTRelativeSlot(0, tensors, 0)
    graph = builder.EndObject()
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(graph)
    graphs = builder.EndVector()
    builder.StartObject(3)
    builder.PrependUOffsetTRelativeSlot(2, graphs, 0)
    builder.Finish(builder.EndObject(), file_identifier=b"RKNN")
    body = bytes(builder.Output())
    with pytest.raises(ArtifactError, match="over and over"):
        read_metadata(b"RKNN\0\0\0\0" + struct.pack("<QQ", 6, len(body)) + bytes(40) + body)


@settings(max_examples=120, deadline=None)
@given(SEEDS, st.sampled_from(["real", "two shapes"]))
def test_thousands_of_mutated_files_give_metadata_or_artifact_error(seed: int, which: str) -> None:
    content = REAL.read_bytes() if which == "real" else two_shapes()
    for changed in mutated(content, seed, densest=5000):
        try:
            read_metadata(changed, "mutated")
        except ArtifactError as error:
            assert "mutated" in str(error)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_after_a_good_header_give_metadata_or_artifact_error(body: bytes) -> None:
    header = b"RKNN\0\0\0\0" + struct.pack("<QQ", 6, 8 + len(body)) + bytes(40)
    with contextlib.suppress(ArtifactError):
        read_metadata(header + body[:4].ljust(4, b"\0") + b"RKNN" + body[4:] + bytes(4))


def test_missing_files_are_artifact_errors(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.rknn"):
        with pytest.raises(ArtifactError, match="cannot be read"):
            read_metadata(path)
