"""Every view node can be traced to the originals it stands for, whatever the passes did."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import HealthCheck, given, settings

from rknn_ep.graph import load_model, normalize
from tests.graph.helpers import assert_same_numbers, assert_traceable, parse, random_feed, view_of
from tests.graph.random_graphs import models

ULPS = 2048
"""Patterns that divide by small standard deviations amplify what folding rounds differently."""
LEAST = 0.125
"""Of a row of equal values (x - x, then an offset) a normalisation leaves the rounding of its mean alone: two units in the last
place of values below 4, divided by sqrt(1e-3) and times 1.5, are 2.3e-5; ULPS of this are 3.1e-5."""


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models())
def test_every_value_that_survives_a_random_graph_keeps_its_originals_and_its_numbers(proto: onnx.ModelProto) -> None:
    view = view_of(proto, input_shapes={"image": (1, 4, 6, 6)})
    assert_traceable(view)
    assert_same_numbers(view, random_feed(view), ulps=ULPS, least=LEAST)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(models())
def test_graphs_as_onnx_runtime_hands_them_to_a_provider_are_traceable(tmp_path: Path, proto: onnx.ModelProto) -> None:
    view = normalize(
        load_model(optimised_by_onnx_runtime(proto.SerializeToString(), tmp_path)), input_shapes={"image": (1, 4, 6, 6)}
    )
    assert_traceable(view)
    assert_same_numbers(view, random_feed(view), ulps=ULPS, least=LEAST)


def optimised_by_onnx_runtime(model: bytes | str, folder: Path, level: str = "ORT_ENABLE_BASIC") -> Path:
    """What a provider sees: the model after ONNX Runtime's optimisation of that level."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, level)
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return folder / "optimised.onnx"


def test_one_node_that_became_several_is_bound_into_one_partition() -> None:
    view = view_of(parse("g (float[2,3] x) => (float[2,3] y) { y = Gelu(x) }", opset=20))
    assert len(view.nodes) > 1 and view.opset == 17
    last = view.nodes[-1]
    assert [one.bound_to for one in view.nodes[:-1]] == [last.index] * (len(view.nodes) - 1) and last.bound_to is None
    assert all(one.origins == {0} for one in view.nodes)
    assert_traceable(view)


def test_a_shape_chain_shared_by_two_consumers_is_folded_and_belongs_to_neither() -> None:
    view = view_of(
        parse(
            """g (float[2,3,4] x, float[6,4] a, float[6,4] b) => (float[2,3,4] p, float[2,3,4] q)
            { s = Shape(x)  p = Reshape(a, s)  q = Reshape(b, s) }"""
        )
    )
    assert [one.origins for one in view.nodes] == [{1}, {2}] and view.folded == {0}
    assert_traceable(view)


def test_a_value_that_only_a_folded_shape_reads_survives_for_the_host() -> None:
    # The host may have to run Shape(c): then c, which would vanish in c + 1, must still exist.
    view = view_of(
        parse(
            """g (float[1,2,3,3] x, float[18] a) => (float[1,2,3,3] y, float[1,2,3,3] z)
            { c = Conv(x, w)  y = Add(c, one)  s = Shape(c)  z = Reshape(a, s) }""",
            w=np.ones((2, 2, 1, 1), np.float32),
            one=np.ones((1, 2, 1, 1), np.float32),
        )
    )
    assert [one.node.op_type for one in view.nodes] == ["Conv", "Add", "Reshape"]
    assert_traceable(view)


def test_a_node_that_nobody_reads_is_the_hosts_business_and_keeps_what_it_reads() -> None:
    view = view_of(
        parse(
            """g (float[1,2,3,3] x) => (float[1,2,3,3] y)
            { c = Conv(x, w)  y = Add(c, one)  idle = Relu(c) }""",
            w=np.ones((2, 2, 1, 1), np.float32),
            one=np.ones((1, 2, 1, 1), np.float32),
        )
    )
    assert [one.node.op_type for one in view.nodes] == ["Conv", "Add", "Relu"]
    assert_traceable(view)


@pytest.mark.parametrize("count", [10, 2000])
def test_long_chains_are_walked_without_recursion(count: int) -> None:
    nodes = [onnx.helper.make_node("Identity" if i % 3 else "Relu", [f"v{i}"], [f"v{i + 1}"]) for i in range(count)]
    info = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [2]) for name in ("v0", f"v{count}")]
    graph = onnx.helper.make_graph(nodes, "chain", info[:1], info[1:])
    view = view_of(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8))
    assert {one.node.op_type for one in view.nodes} == {"Relu"}
    assert_traceable(view)
