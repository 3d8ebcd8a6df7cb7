"""What must hold of the partitions of any graph."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime
from hypothesis import given, settings
from hypothesis import strategies as st

from rknn_ep.graph import serialize
from rknn_ep.partitioning.extract import extract
from rknn_ep.partitioning.partitioner import Plan
from rknn_ep.records import Outcome
from tests.partitioning.helpers import PLANE, Seen, planned
from tests.partitioning.random_models import REFUSED, models, shuffled

MANY = settings(max_examples=70, deadline=None)


def cut(model: onnx.ModelProto, **options: Any) -> Plan:
    return planned(model, exclude_ops={REFUSED}, **options)


@MANY
@given(models())
def test_partitions_are_convex_and_do_not_wait_for_each_other_in_a_circle(model: onnx.ModelProto) -> None:
    assert Seen.of(model).acyclic([part.origins for part in cut(model).partitions])


@MANY
@given(models())
def test_no_two_partitions_can_be_joined(model: onnx.ModelProto) -> None:
    seen, parts = Seen.of(model), cut(model).partitions
    for first, second in combinations(parts, 2):
        others = [part.origins for part in parts if part not in (first, second)]
        assert not seen.acyclic([(*first.origins, *second.origins), *others])


@MANY
@given(models())
def test_partitions_are_closed_disjoint_and_hold_only_what_is_allowed(model: onnx.ModelProto) -> None:
    plan = cut(model)
    claimed = [origin for part in plan.partitions for origin in part.origins]
    assert len(claimed) == len(set(claimed))
    for part in plan.partitions:
        for index in part.nodes:
            assert plan.view.nodes[index].origins <= set(part.origins)
            assert plan.verdicts[index].outcome is not Outcome.REFUSED
        assert any(plan.verdicts[index].outcome is Outcome.NPU for index in part.nodes)
        for origin in set(part.origins) - plan.view.folded:  # what only shapes needed may go along: it is never computed
            assert model.graph.node[origin].op_type != REFUSED


@MANY
@given(models())
def test_borders_are_those_that_the_runtime_sees(model: onnx.ModelProto) -> None:
    seen = Seen.of(model)
    for part in cut(model).partitions:
        comes, goes = seen.border(set(part.origins))
        assert set(part.inputs) <= comes
        assert set(part.inputs) | set(part.ignored_inputs) == comes
        assert set(part.outputs) == goes


@MANY
@given(models())
def test_groups_stay_whole_and_every_node_has_one(model: onnx.ModelProto) -> None:
    plan = cut(model)
    home = {index: part.name for part in plan.partitions for index in part.nodes}
    assert sorted(index for group in plan.groups for index in group) == list(range(len(plan.view.nodes)))
    for group in plan.groups:
        assert len({home.get(index) for index in group}) == 1


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_equal_graphs_are_cut_alike_whatever_their_names_and_order(data: st.DataObject) -> None:
    model = data.draw(models(most=16))
    other, names = shuffled(model, data.draw)

    def outputs(one: onnx.ModelProto, back: dict[str, str]) -> set[frozenset[str]]:
        return {
            frozenset(back.get(name, name) for origin in part.origins for name in one.graph.node[origin].output)
            for part in cut(one).partitions
        }

    assert outputs(model, {}) == outputs(other, names)


def test_of_two_nodes_that_read_one_input_the_order_does_not_decide_which_stays() -> None:
    text = """<ir_version: 9, opset_import: ["": 17]>
    test (float[1,4,8,8] in0, float[1,4,8,8] in1)
        => (float[1,4,8,8] leaves, float[1,4,8,8] stays, float[1,4,8,8] later, float[1,4,8,8] refused) {{
        before = Exp (in1)
        refused = {refused} (before)
        {first}
        {second}
        half = Constant <value = float[1] {{0.5}}> ()
        stays = Add (inner, half)
        later = Add (refused, in0)
    }}"""
    pair = ("leaves = Exp (in0)", "inner = Exp (in0)")
    cuts = []
    for first, second in (pair, pair[::-1]):
        model = onnx.parser.parse_model(text.format(refused=REFUSED, first=first, second=second))
        plan = cut(model)
        cuts.append({frozenset(model.graph.node[origin].output[0] for origin in part.origins) for part in plan.partitions})
    assert cuts[0] == cuts[1] != set()


@settings(max_examples=30, deadline=None)
@given(models(most=14))
def test_extracted_partitions_compute_what_the_model_computes(model: onnx.ModelProto) -> None:
    plan = cut(model)
    rng = np.random.default_rng(0)
    feeds = {name: rng.random(PLANE, np.float32) for name in ("in0", "in1")}
    everything = onnx.ModelProto()
    everything.CopyFrom(model)
    del everything.graph.output[:]
    wanted = {name for part in plan.partitions for name in (*part.inputs, *part.outputs)} - feeds.keys()
    everything.graph.output.extend(onnx.ValueInfoProto(name=name) for name in sorted(wanted))
    if not wanted:
        return
    values = feeds | dict(zip(sorted(wanted), _run(everything.SerializeToString(), feeds), strict=True))
    for part in plan.partitions:
        alone = serialize(extract(plan.view, part))
        onnx.checker.check_model(onnx.load_from_string(alone), full_check=True)
        results = _run(alone, {name: values[name] for name in part.inputs})
        for name, result in zip(part.outputs, results, strict=True):
            np.testing.assert_allclose(result, values[name], rtol=1e-5, atol=1e-6)


def _run(model: bytes, feeds: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    known = {item.name for item in session.get_inputs()}
    results: list[np.ndarray[Any, Any]] = session.run(None, {name: value for name, value in feeds.items() if name in known})
    return results
