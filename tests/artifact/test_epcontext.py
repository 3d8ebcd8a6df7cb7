"""EPContext models: partitions become nodes, everything else stays as it was."""

import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from onnx import TensorProto, helper, numpy_helper

from rknn_ep.artifact.bundle import Bundle, write_bundle
from rknn_ep.artifact.epcontext import read_epcontext, write_epcontext_model
from rknn_ep.artifact.epcontext_reader import resolve_side_file
from rknn_ep.artifact.native_text import NativeDescription, TensorDescription
from rknn_ep.errors import ArtifactError
from tests import models
from tests.artifact.mutations import SEEDS, mutated


@dataclass(frozen=True)
class Compiled:
    name: str
    origins: tuple[int, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bundle: Path
    native_text: str


def compiled(folder: Path, name: str, origins: tuple[int, ...], inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Compiled:
    description = NativeDescription(
        "rk3588",
        "fp16",
        name,
        tuple(TensorDescription(value, (1, 4), "FLOAT") for value in inputs),
        tuple(TensorDescription(value, (1, 4), "FLOAT") for value in outputs),
        sdk="0.1.0",
    )
    path = folder / f"{name}.rknnctx"
    write_bundle(
        path, {"native.txt": description.to_text().encode(), "weights": bytes(100)}, {"partition": name, "target": "rk3588"}
    )
    return Compiled(name, origins, inputs, outputs, path, description.to_text())


def graph_with_subgraph() -> ir.Model:
    """0: a = x + w1; 1: b = Relu(a); 2: d = If(c) { Neg(b) } else { b + w3 }; 3: e = b * w2; 4: y = d + e; 5: Shape(a) unused."""

    def branch(name: str, *nodes: onnx.NodeProto) -> onnx.GraphProto:
        return helper.make_graph(list(nodes), name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4])])

    nodes = [
        helper.make_node("Add", ["x", "w1"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node(
            "If",
            ["c"],
            ["d"],
            then_branch=branch("t", helper.make_node("Neg", ["b"], ["t"])),
            else_branch=branch("f", helper.make_node("Add", ["b", "w3"], ["f"])),
        ),
        helper.make_node("Mul", ["b", "w2"], ["e"]),
        helper.make_node("Add", ["d", "e"], ["y"]),
        helper.make_node("Shape", ["a"], ["n"]),
    ]
    values = np.arange(4, dtype=np.float32)[None]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4]), helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(values + index, name) for index, name in enumerate(("w1", "w2", "w3"))],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    proto.metadata_props.add(key="character", value="a\nb")
    onnx.checker.check_model(proto)
    return ir.from_proto(proto)


@pytest.mark.parametrize("embed_mode", [0, 1])
def test_partitions_become_nodes_and_the_rest_stays(tmp_path: Path, embed_mode: int) -> None:
    model = graph_with_subgraph()
    before = ir.to_proto(model).SerializeToString()
    parts = [compiled(tmp_path, "rknn_1", (3,), ("b",), ("e",)), compiled(tmp_path, "rknn_0", (0, 1), ("x",), ("b",))]
    output = tmp_path / "out" / "model_ctx.onnx"
    output.parent.mkdir()
    write_epcontext_model(model, parts, output, target="rk3588", embed_mode=embed_mode)
    written = onnx.load(output)
    onnx.checker.check_model(written)
    assert ir.to_proto(model).SerializeToString() == before, "the model that was passed in was changed"
    kinds = [node.op_type for node in written.graph.node]
    assert sorted(kinds) == ["Add", "EPContext", "EPContext", "If"]
    assert kinds.index("EPContext") < kinds.index("If"), "the value that the If body captures comes too late"
    assert [value.name for value in written.graph.initializer] == ["w3"], "weights that only a partition used are still there"
    assert written.metadata_props[0].key == "character"
    assert [dim.dim_param or dim.dim_value for dim in written.graph.output[0].type.tensor_type.shape.dim] == ["batch", 4]
    read = read_epcontext(output)
    assert read.other_nodes == 2 and {node.name for node in read.own} == {"rknn_0", "rknn_1"}
    for node in read.nodes:
        node.require("rk3588")
        assert node.attributes["main_context"] == 1 and node.attributes["embed_mode"] == embed_mode
        assert node.description is not None and node.description.partition == node.name
        assert node.open_bundle().manifest["partition"] == node.name
    files = sorted(path.name for path in output.parent.iterdir())
    sides = ["model_ctx_rknn_0.rknnctx", "model_ctx_rknn_1.rknnctx"] if embed_mode == 0 else []
    assert files == ["model_ctx.onnx", *sides]


def test_a_real_model_is_cut_into_two_and_weights_in_constant_nodes_go_along(tmp_path: Path) -> None:
    model = ir.load(models.ppocr_cls())
    nodes = list(model.graph)
    work = [index for index, node in enumerate(nodes) if node.op_type != "Constant"]
    half, end = work[: len(work) // 2], work[len(work) // 2 : -1]
    parts = [_closed(tmp_path, model, "rknn_0", half), _closed(tmp_path, model, "rknn_1", end)]
    write_epcontext_model(model, parts, tmp_path / "m.onnx", target="rk3588")
    written = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(written)
    assert [node.op_type for node in written.graph.node] == ["EPContext", "EPContext", nodes[work[-1]].op_type]
    assert (tmp_path / "m.onnx").stat().st_size < 60_000, "weights were left behind"


def _closed(folder: Path, model: ir.Model, name: str, indices: list[int]) -> Compiled:
    nodes = [list(model.graph)[index] for index in indices]
    inside = {value for node in nodes for value in node.outputs}
    taken = [value for node in nodes for value in node.inputs if value is not None and value not in inside]
    inputs = dict.fromkeys(
        v.name for v in taken if not v.is_initializer() and not (v.producer() and v.producer().op_type == "Constant")
    )
    given_out = [v.name for v in inside if v.is_graph_output() or any(use.node not in nodes for use in v.uses())]
    return compiled(folder, name, tuple(indices), tuple(str(name) for name in inputs), tuple(sorted(map(str, given_out))))


@pytest.mark.parametrize(
    ("origins", "inputs", "outputs", "message"),
    [
        ((0, 1), ("x",), ("a",), "something outside uses"),
        ((0,), ("x",), ("b",), "none of its nodes makes 'b'"),
        ((0, 1), ("nothing",), ("b",), "no value 'nothing'"),
        ((0, 99), ("x",), ("b",), "its nodes cannot be"),
        ((0, 1, 3, 4), ("x", "d"), ("b", "y"), "its inputs depend on its outputs"),
    ],
)
def test_partitions_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path: Path, origins: tuple[int, ...], inputs: tuple[str, ...], outputs: tuple[str, ...], message: str
) -> None:
    part = compiled(tmp_path, "rknn_0", origins, inputs, outputs)
    with pytest.raises(ArtifactError, match=message):
        write_epcontext_model(graph_with_subgraph(), [part], tmp_path / "m.onnx", target="rk3588", embed_mode=0)
    assert [path.name for path in tmp_path.iterdir()] == ["rknn_0.rknnctx"]


def test_overlapping_names_and_other_borders_are_refused(tmp_path: Path) -> None:
    part = compiled(tmp_path, "rknn_0", (0, 1), ("x",), ("b",))
    for wrong in (
        [part, replace(part, name="rknn_1")],
        [replace(part, name="../rknn_0")],
        [replace(part, inputs=("c",))],
        [replace(part, native_text="format=2\n")],
    ):
        with pytest.raises(ArtifactError):
            write_epcontext_model(graph_with_subgraph(), wrong, tmp_path / "m.onnx", target="rk3588")
    part.bundle.write_bytes(part.bundle.read_bytes()[:-1])
    with pytest.raises(ArtifactError, match="cut"):
        write_epcontext_model(graph_with_subgraph(), [part], tmp_path / "m.onnx", target="rk3588")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("written")
    part = compiled(folder, "rknn_0", (0, 1), ("x",), ("b",))
    write_epcontext_model(graph_with_subgraph(), [part], folder / "m.onnx", target="rk3588", embed_mode=0)
    write_epcontext_model(graph_with_subgraph(), [part], folder / "embedded.onnx", target="rk3588", embed_mode=1)
    return folder


def changed(original: Path, output: Path, **attributes: int | str | bytes) -> Path:
    """A copy with attributes of the first EPContext node replaced."""
    model = onnx.load(original)
    node = next(node for node in model.graph.node if node.op_type == "EPContext")
    for attribute in node.attribute:
        if attribute.name in attributes:
            value = attributes[attribute.name]
            if isinstance(value, int):
                attribute.i = value
            else:
                attribute.s = value if isinstance(value, bytes) else value.encode()
    onnx.save(model, output)
    return output


def test_another_target_is_refused_naming_both(written: Path) -> None:
    with pytest.raises(ArtifactError, match="compiled for rk3588, not for rk3566"):
        read_epcontext(written / "m.onnx").nodes[0].require("rk3566")


def test_another_version_is_refused(written: Path, tmp_path: Path) -> None:
    notes = str(read_epcontext(written / "embedded.onnx").nodes[0].attributes["notes"])
    other = changed(
        written / "embedded.onnx", tmp_path / "m.onnx", notes=notes.replace("format=1", "format=7").replace("0.1.0", "8.0")
    )
    with pytest.raises(ArtifactError, match=r"format 7, written by rknn_ep 8\.0"):
        read_epcontext(other).nodes[0].require("rk3588")


def test_a_node_of_another_provider_is_listed_and_refused(written: Path, tmp_path: Path) -> None:
    other = read_epcontext(changed(written / "embedded.onnx", tmp_path / "m.onnx", source="QNNExecutionProvider"))
    assert len(other.nodes) == 1 and other.own == () and other.nodes[0].payload is None
    with pytest.raises(ArtifactError, match="QNNExecutionProvider"):
        other.nodes[0].require("rk3588")


def test_a_cut_payload_is_refused(written: Path, tmp_path: Path) -> None:
    payload = read_epcontext(written / "embedded.onnx").nodes[0].payload
    assert isinstance(payload, bytes)
    cut = changed(written / "embedded.onnx", tmp_path / "m.onnx", ep_cache_context=payload[: len(payload) // 2])
    with pytest.raises(ArtifactError, match="damaged"):
        read_epcontext(cut).nodes[0].require("rk3588")
    shutil.copy(written / "m.onnx", tmp_path / "side.onnx")
    (tmp_path / "m_rknn_0.rknnctx").write_bytes(payload[:-1])
    with pytest.raises(ArtifactError, match="damaged"):
        read_epcontext(tmp_path / "side.onnx").nodes[0].require("rk3588")


def test_a_bundle_of_another_partition_is_refused(written: Path, tmp_path: Path) -> None:
    other = compiled(tmp_path, "rknn_9", (0, 1), ("x",), ("b",))
    swapped = changed(written / "embedded.onnx", tmp_path / "m.onnx", ep_cache_context=other.bundle.read_bytes())
    with pytest.raises(ArtifactError, match="another partition"):
        read_epcontext(swapped).nodes[0].require("rk3588")


def test_a_missing_side_file_is_named(written: Path, tmp_path: Path) -> None:
    shutil.copy(written / "m.onnx", tmp_path / "m.onnx")
    with pytest.raises(ArtifactError, match=r"m_rknn_0\.rknnctx' is missing"):
        read_epcontext(tmp_path / "m.onnx").nodes[0].require("rk3588")


@pytest.mark.parametrize(
    "name", ["../out.rknnctx", "/etc/passwd", "", ".", "link.rknnctx", "a\0b", "x" * 5000, "loop", "sub/../../out.rknnctx"]
)
def test_side_paths_that_leave_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    (tmp_path / "out.rknnctx").write_bytes(b"")
    (folder / "link.rknnctx").symlink_to(tmp_path / "out.rknnctx")
    (folder / "loop").symlink_to("loop")
    with pytest.raises(ArtifactError, match="outside"):
        resolve_side_file(folder / "m.onnx", name)


def test_side_files_in_the_folder_or_below_it_are_found(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.rknnctx").write_bytes(b"")
    (tmp_path / "models").symlink_to(tmp_path)
    assert resolve_side_file(tmp_path / "models" / "m.onnx", "sub/a.rknnctx") == tmp_path / "sub" / "a.rknnctx"


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_thousands_of_mutated_models_give_nodes_or_artifact_error(written: Path, seed: int) -> None:
    path = written / f"mutated-{seed}.onnx"
    for content in mutated((written / "embedded.onnx").read_bytes(), seed, densest=1500):
        path.write_bytes(content)
        try:
            for node in read_epcontext(path).nodes:
                node.require("rk3588")
        except ArtifactError:
            pass
    path.unlink(missing_ok=True)


def test_files_that_are_no_models_are_artifact_errors(tmp_path: Path) -> None:
    (tmp_path / "text.onnx").write_text("this is not a model")
    for path in (tmp_path, tmp_path / "missing.onnx", tmp_path / "text.onnx"):
        with pytest.raises(ArtifactError):
            read_epcontext(path)


def test_a_full_disk_leaves_no_model(tmp_path: Path, written: Path) -> None:
    script = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from rknn_ep.artifact.epcontext import write_epcontext_model\n"
        "from rknn_ep.errors import ArtifactError\n"
        "from tests.artifact.test_epcontext import compiled, graph_with_subgraph\n"
        "folder = Path(sys.argv[1])\n"
        "part = compiled(folder, 'rknn_0', (0, 1), ('x',), ('b',))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "for mode in (0, 1):\n"
        "    try: write_epcontext_model(graph_with_subgraph(), [part], folder / 'm.onnx', target='rk3588', embed_mode=mode)\n"
        "    except ArtifactError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert result.stdout.count("cannot be written: File too large") == 2
    assert [path.name for path in tmp_path.iterdir()] == ["rknn_0.rknnctx"]


def test_bundles_read_back_from_a_model_are_the_ones_put_in(written: Path) -> None:
    embedded, beside = (read_epcontext(written / name).nodes[0] for name in ("embedded.onnx", "m.onnx"))
    assert isinstance(beside.payload, Path) and embedded.payload == beside.payload.read_bytes()
    assert Bundle.open(beside.payload).read("weights") == bytes(100)
