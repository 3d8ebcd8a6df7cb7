"""The node that the toolkit does not survive is found in a real network, with few builds, and its model is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from rknn_ep_toolkit2.cutting import Pieces
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.isolate import Attempt, locate
from rknn_ep_toolkit2.worker import Workers
from tests.toolkit2.conftest import JOBS
from tests.toolkit2.models import FLOAT, model, node

toolkit2 = pytest.mark.toolkit2


def chain(length: int, bad: dict[int, onnx.NodeProto], channels: int = 8, size: int = 16) -> bytes:
    """Convolutions and Relus in turn; the nodes of `bad` (input `in`, output `out`) stand at their places instead."""
    weights = {"w": np.random.default_rng(0).standard_normal((channels, channels, 3, 3)).astype(np.float32)}
    nodes = []
    for index in range(length):
        if index in bad:
            one = onnx.NodeProto.FromString(bad[index].SerializeToString())
            one.input[0] = f"t{index}"
            one.output[0] = f"t{index + 1}"
            one.name = f"bad{index}"
        elif index % 2:
            one = node("Relu", [f"t{index}"], [f"t{index + 1}"], name=f"relu{index}")
        else:
            one = node("Conv", [f"t{index}", "w"], [f"t{index + 1}"], name=f"conv{index}", pads=[1] * 4)
        nodes.append(one)
    shape = (FLOAT, [1, channels, size, size])
    return model(nodes, {"t0": shape}, {f"t{length}": shape}, weights)


def normalization() -> onnx.NodeProto:
    """Refused by the toolkit: a random generator has no place on an NPU."""
    return node("RandomNormalLike", ["in"], ["out"])


def quantized(model: bytes) -> bytes:
    """The same with every tensor through QuantizeLinear and DequantizeLinear."""
    proto = onnx.load_model_from_string(model)
    graph = proto.graph
    graph.initializer.append(helper.make_tensor("scale", TensorProto.FLOAT, [], [0.05]))
    graph.initializer.append(helper.make_tensor("zero", TensorProto.INT8, [], [0]))
    nodes = []
    renamed: dict[str, str] = {}

    def through(name: str, result: str) -> None:
        nodes.append(node("QuantizeLinear", [name, "scale", "zero"], [f"{name}_q"], name=f"{name}_quantize"))
        nodes.append(node("DequantizeLinear", [f"{name}_q", "scale", "zero"], [result], name=f"{name}_dequantize"))
        renamed[name] = result

    outputs = {one.name for one in graph.output}
    through("t0", "t0_dq")
    for one in graph.node:
        one.input[0] = renamed[one.input[0]]
        made = one.output[0]
        if made in outputs:
            one.output[0] = f"{made}_raw"
            nodes.append(one)
            nodes.append(node("QuantizeLinear", [f"{made}_raw", "scale", "zero"], [f"{made}_q"]))
            nodes.append(node("DequantizeLinear", [f"{made}_q", "scale", "zero"], [made]))
        else:
            nodes.append(one)
            through(made, f"{made}_dq")
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(proto)
    return proto.SerializeToString()


def with_the_toolkit(pool: Workers, tried: list[bytes]) -> Attempt:
    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        tried.append(piece)
        try:
            pool.run(JOBS / "build.py", {}, files={"model.onnx": piece}, timeout=min(seconds, 120))
        except ToolkitError as error:
            return error
        return None

    return attempt


def find(pool: Workers, whole: bytes, **options: object) -> tuple[ToolkitError, int]:
    tried: list[bytes] = []
    attempt = with_the_toolkit(pool, tried)
    first = attempt(whole, 120)
    assert first is not None, "the model compiles: it does not test anything"
    tried.clear()
    return locate(whole, attempt, first, name="partition_0", **options), len(tried)  # type: ignore[arg-type]


@toolkit2
@pytest.mark.parametrize("place", [0, 6, 11])
def test_a_node_that_is_refused_is_found_wherever_it_stands(pool: Workers, place: int) -> None:
    error, builds = find(pool, chain(12, {place: normalization()}))
    assert error.node == f"bad{place}"
    assert f"RandomNormalLike 'bad{place}'" in error.message
    assert f"exclude_nodes=bad{place}" in error.remedy
    assert builds <= 8  # two for each halving of twelve nodes


@toolkit2
def test_a_node_that_kills_the_compiler_is_found_and_its_model_is_saved(pool: Workers, tmp_path: Path) -> None:
    cubic = node("Resize", ["in", "", "", "sizes"], ["out"], mode="cubic")
    proto = onnx.load_model_from_string(chain(9, {4: cubic}))
    proto.graph.initializer.append(helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 8, 32, 32]))
    proto.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 32
    proto.graph.output[0].type.tensor_type.shape.dim[3].dim_value = 32
    error, _ = find(pool, proto.SerializeToString(), keep=tmp_path / "failing")
    assert error.kind == "signal"
    assert error.node == "bad4"
    saved = onnx.load(tmp_path / "failing/partition_0.onnx")
    onnx.checker.check_model(saved)
    assert [one.name for one in saved.graph.node] == ["bad4"]
    assert "Segmentation fault" in (tmp_path / "failing/partition_0.log").read_text()
    assert "Resize 'bad4'" in (tmp_path / "failing/partition_0.txt").read_text()


@toolkit2
def test_a_node_is_found_in_a_quantised_partition_and_its_quantisation_goes_with_it(pool: Workers, tmp_path: Path) -> None:
    error, _ = find(pool, quantized(chain(8, {5: normalization()})), keep=tmp_path)
    assert error.node == "bad5"
    saved = onnx.load(tmp_path / "partition_0.onnx")
    kinds = [one.op_type for one in saved.graph.node]
    assert kinds == ["QuantizeLinear", "DequantizeLinear", "RandomNormalLike", "QuantizeLinear", "DequantizeLinear"]
    assert [value.name for value in saved.graph.input] == ["t5"]


# --------------------------------------------------------------------------------------------- the search itself


def test_nodes_that_fail_only_together_are_found_together() -> None:
    whole = chain(16, {})

    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        names = {one.name for one in onnx.load_model_from_string(piece).graph.node}
        return ToolkitError("both", kind="signal") if {"conv6", "relu9"} <= names else None

    error = locate(whole, attempt, ToolkitError("x: crashed", kind="signal"), name="p")
    assert error.node == "conv6, relu7, conv8, relu9"
    assert "together" in error.message


def test_a_node_without_a_name_is_called_by_its_output() -> None:
    proto = onnx.load_model_from_string(chain(4, {}))
    for one in proto.graph.node:
        one.name = ""

    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        made = {one.output[0] for one in onnx.load_model_from_string(piece).graph.node}
        return ToolkitError("bad", kind="signal") if "t3" in made else None

    error = locate(proto.SerializeToString(), attempt, ToolkitError("x: crashed", kind="signal"), name="p")
    assert error.node == "t3"
    assert "exclude_nodes=t3." in error.remedy


def test_what_the_toolkit_names_is_believed_although_other_pieces_fail_with_the_same_words() -> None:
    """A cut takes the rounding from its ends: a SoC without float then refuses nodes that it takes in the whole."""

    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        tried.append(piece)
        name = onnx.load_model_from_string(piece).graph.node[-1].name
        words = f"The Conv('{name}#2') not supported 'float16' dtype!"
        return ToolkitError(f"x: raised\n    {words}", kind="exception", said=words)

    tried: list[bytes] = []
    words = "The Conv('conv6#2') not supported 'float16' dtype!"
    error = locate(chain(8, {}), attempt, ToolkitError(f"x: raised\n    {words}", kind="exception", said=words), name="p")
    assert error.node == "conv6"
    assert len(tried) == 1
    error = locate(chain(8, {}), attempt, ToolkitError("x: raised", kind="exception", said=words), name="p", known=["relu7"])
    assert error.node == "t7"  # written for the compiler: users know its output


def test_a_different_failure_of_a_piece_is_not_taken_for_the_same() -> None:
    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        names = {one.name for one in onnx.load_model_from_string(piece).graph.node}
        return ToolkitError("slow", kind="timeout") if "relu1" in names else None

    error = locate(chain(8, {}), attempt, ToolkitError("x: crashed", kind="signal"), name="p")
    assert "no smaller piece of it fails alone" in error.message


def test_the_search_is_bounded() -> None:
    tried = []

    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        tried.append(piece)
        names = {one.name for one in onnx.load_model_from_string(piece).graph.node}
        return ToolkitError("bad", kind="signal") if "relu999" in names else None

    error = locate(chain(1000, {}), attempt, ToolkitError("x: crashed", kind="signal"), name="p", most_builds=5)
    assert len(tried) == 5
    assert error.node
    assert locate(chain(1000, {}), attempt, ToolkitError("x: crashed", kind="signal"), name="p").node == "relu999"
    assert len(tried) <= 5 + 20  # two for each of the ten halvings


def test_a_short_time_limit_blames_no_node() -> None:
    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        raise AssertionError("nothing is to be built")

    error = ToolkitError("slow or hanging", kind="timeout")
    assert locate(chain(4, {}), attempt, error, name="p", seconds=2) is error


@pytest.mark.parametrize("kind", ["killed", "cancelled", "disk", "environment", "start"])
def test_what_is_not_the_models_fault_is_not_searched_for(kind: str) -> None:
    def attempt(piece: bytes, seconds: float) -> ToolkitError | None:
        raise AssertionError("nothing is to be built")

    error = ToolkitError("not you", kind=kind)  # type: ignore[arg-type]
    assert locate(chain(4, {}), attempt, error, name="p") is error


def test_a_model_that_is_none_is_passed_on() -> None:
    error = ToolkitError("damaged", kind="exception")
    assert locate(b"not a model", lambda piece, seconds: None, error, name="p") is error


def test_pieces_hold_together_and_give_what_the_whole_gives() -> None:
    import onnxruntime as ort

    whole = quantized(chain(10, {}))
    pieces = Pieces(whole)
    value = np.random.default_rng(1).standard_normal((1, 8, 16, 16)).astype(np.float32)
    expected = ort.InferenceSession(whole, providers=["CPUExecutionProvider"]).run(None, {"t0": value})[0]
    feed = value
    for first, last in ((0, 3), (3, 4), (4, len(pieces))):
        piece = pieces.cut(first, last)
        assert piece is not None
        session = ort.InferenceSession(piece, providers=["CPUExecutionProvider"])
        [feed] = session.run(None, {session.get_inputs()[0].name: feed})
    assert np.array_equal(feed, expected)
