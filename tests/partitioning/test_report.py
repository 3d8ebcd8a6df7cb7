"""The report says everything, in three forms, and survives a trip through JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
from onnx import helper

from rknn_ep.partitioning.plan_report import describe
from rknn_ep.partitioning.report import Report
from tests.partitioning import helpers
from tests.partitioning.helpers import node, planned

WEIGHT = np.zeros((16, 16, 3, 3), np.float32)


def report(**options: Any) -> Report:
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Exp", ["a"], ["b"]),
        node("Conv", ["b", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Det", ["c"], ["d"]),
        node("Conv", ["x", "w40"], ["e"], pads=[20, 20, 20, 20]),
        node("Ceil", ["e"], ["f"]),
    ]
    constants = {"w": WEIGHT, "w40": np.zeros((16, 16, 40, 40), np.float32)}
    model = helpers.build(nodes, {"x": (1, 16, 16, 16)}, ["d", "f"], constants)
    return describe(planned(model, **options), sections={"quantization": {"method": "mmse", "tensors": [{"name": "a"}]}})


def test_it_survives_json() -> None:
    made = report()
    again = Report.from_dict(json.loads(json.dumps(made.to_dict())))
    assert again == made
    assert again.to_table() == made.to_table()


def test_every_node_has_a_verdict_and_every_rejected_one_a_reason_and_source() -> None:
    made = report()
    assert [entry.op_type for entry in made.verdicts] == ["Conv", "Exp", "Conv", "Det", "Conv", "Ceil"]
    assert [entry.where for entry in made.verdicts] == ["npu", "native_cpu", "npu", "cpu", "cpu", "cpu"]
    assert all(entry.reason and entry.source for entry in made.rejected)
    kernel = made.verdicts[4]
    assert (kernel.reason, kernel.detail, kernel.limit) == ("limit", "kernel is 40", "kernel in [1, 36]")
    assert "Operator List V2.3.2" in kernel.source
    assert made.verdicts[5].reason == "native_cpu"


def test_coverage_by_nodes_and_macs_with_and_without_the_cpu_side() -> None:
    made = report()
    assert (made.nodes.total, made.nodes.inside, made.nodes.npu) == (6, 3, 2)
    inner = 2 * 16 * 16 * 16 * 16 * 9
    assert made.macs.inside == made.macs.npu == inner
    assert made.macs.total == inner + 17 * 17 * 16 * 16 * 40 * 40
    assert made.original_nodes.total == 6


def test_partitions_show_their_border_and_weights() -> None:
    (part,) = report().partitions
    assert [(item.name, item.dtype, item.shape) for item in part.inputs] == [("x", "FLOAT", (1, 16, 16, 16))]
    assert [item.name for item in part.outputs] == ["c"]
    assert part.weight_bytes == 2 * WEIGHT.size
    assert part.border_bytes == 2 * 4 * 16 * 16 * 16
    assert part.operators == {"Conv": 2, "Exp": 1}


def test_text_forms_hold_the_same_facts() -> None:
    made = report()
    for text in (made.to_table(), made.to_markdown()):
        for fact in (
            "rk3588, fp16: 1 partition",
            "kernel is 40",
            "kernel in [1, 36]",
            "rknn_0",
            "Operator List V2.3.2",
            "mmse",
            "Exp",
        ):
            assert fact in text
    assert made.to_markdown().startswith("# rk3588, fp16")


def test_a_terminal_gets_the_number_of_a_long_list_and_a_report_file_all_of_it() -> None:
    layers = [{"native": f"Conv{index}", "unit": "npu"} for index in range(110)]
    made = replace(report(), sections={"compilation": {"rknn_0": {"layers": layers, "few": layers[:3]}}})
    table = made.to_table()
    assert "rknn_0.layers: 110, listed in --json" in table and "Conv109" not in table and "Conv2" in table
    assert "Conv109" in made.to_markdown()


def test_markdown_tables_are_not_broken_by_names() -> None:
    model = helpers.build([helper.make_node("Det", ["x"], ["y"], name="a|b")], {"x": (1, 4, 4)}, ["y"])
    line = next(line for line in describe(planned(model)).to_markdown().splitlines() if line.startswith("| Det"))
    assert "a\\|b" in line


def test_the_fallback_that_strict_mode_refuses_is_named() -> None:
    refused = report().fallback()
    assert refused is not None and (refused.op_type, refused.name, refused.reason) == ("Det", "n_d", "operator")
    excluded = report(exclude_ops={"Det", "Ceil"}, exclude_nodes={"n_e"})
    assert excluded.fallback() is None


def test_advice_names_what_cuts_and_what_was_given_back() -> None:
    text = " ".join(report(min_partition_macs=None).advice)
    assert "Det (1)" in text
    assert "min_partition_macs=0" in text
