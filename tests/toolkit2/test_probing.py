"""Asking the compiler: the catalogue, reading what it says, tables and judgements from recorded answers, and a few real ones."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from rknn_ep.errors import OptionError
from rknn_ep.graph import View
from rknn_ep.partitioning.rules.elementwise import LOWERED
from rknn_ep.partitioning.tables_reader import load_table
from rknn_ep.records import Outcome
from rknn_ep_toolkit2.environment import Toolkit
from rknn_ep_toolkit2.layers import Layer
from rknn_ep_toolkit2.probing import tables
from rknn_ep_toolkit2.probing.asking import Answer, judged, prepare, view_of
from rknn_ep_toolkit2.probing.catalogue import catalogue, chosen
from rknn_ep_toolkit2.probing.judging import compare, judge_drawn, verdicts
from rknn_ep_toolkit2.probing.random_models import draw
from rknn_ep_toolkit2.probing.survey import Survey
from tests.partitioning.helpers import TARGETS

RECORDED = {
    ("Conv", "fp16"): {"unit": "npu", "native": ["Conv"], "cycles": 18432, "kilobytes": 41.0},
    ("Conv", "int8"): {"unit": "npu", "native": ["Conv"], "cycles": 9216, "kilobytes": 20.0, "quantized": True},
    ("Exp", "fp16"): {"unit": "cpu", "native": ["Exp"], "kilobytes": 32.0},
    ("Exp", "int8"): {"unit": "cpu", "native": ["Exp"], "kilobytes": 32.0},
    ("Sum_3in", "int8"): {"unit": "crashed", "why": "probe: the toolkit crashed (SIGSEGV)", "quantized": True},
}
"""What RKNN-Toolkit2 2.5.0 answered for rk3588."""
ANSWERS = {place: Answer.of(data) for place, data in RECORDED.items()}


def nothing(message: str, share: float) -> None:
    """Progress that nobody looks at."""


def layer(native: str, unit: str, name: str = "Op_0") -> Layer:
    return Layer(1, native, "INT8", unit, "", 10, 1.5, name)


def test_every_configuration_of_the_catalogue_is_a_model_that_can_be_asked() -> None:
    for name in ("Conv", "Softmax_3d", "f_SE", "Reshape_odd", "LSTM_states", "OneHot"):
        view = view_of(catalogue()[name])
        assert {prepare(name, view, TARGETS["rk3588"], one).settings.precision for one in ("fp16", "int8")} == {"fp16", "int8"}


def test_the_catalogue_is_chosen_by_operator_or_name() -> None:
    assert set(chosen(["Conv_dw", "Hardmax"])) >= {"Conv_dw", "Hardmax_last", "Hardmax_2d"}
    with pytest.raises(OptionError, match="did you mean 'Softmax'"):
        chosen(["Softmaxx"])


def test_what_is_written_as_others_is_asked_as_the_operator_itself() -> None:
    """Written out by hand, every step would be rounded at int8: another model than the one that is handed over."""
    named = [case.name for case in LOWERED.values()] + ["l_SpaceToDepth", "l_ReduceL1", "l_AveragePool_pad", "l_PRelu_dyn"]
    for name in named:
        (node,) = catalogue()[name].nodes
        assert name.startswith(f"l_{node['op']}")


def test_the_tables_hold_what_the_catalogue_asks() -> None:
    assert catalogue().keys() - load_table("rk3588").cases.keys() == set()


@pytest.mark.parametrize(
    ("layers", "unit"),
    [
        ([layer("Conv", "npu")], "npu"),
        ([layer("Exp", "cpu")], "cpu"),
        ([layer("Reshape", "cpu"), layer("Conv", "npu")], "mixed"),
        ([layer("Reshape", "npu"), layer("Exp", "cpu")], "cpu"),
        ([], "folded"),
        ([layer("LeakyRelu", "npu", "neighbour_of_x"), layer("Reshape", "cpu", "neighbour_of_y")], "folded"),
        ([layer("Conv", "npu", "neighbour_of_x_mm")], "npu"),
        ([layer("exDataConvert", "cpu")], "folded"),
        ([layer("exDataConvert", "cpu"), layer("Exp", "cpu")], "cpu"),
    ],
)
def test_a_layer_table_comes_to_one_unit(layers: list[Layer], unit: str) -> None:
    assert judged(layers, quantized=True).unit == unit


def test_of_a_reshape_the_reshape_decides() -> None:
    assert judged([layer("Conv", "npu"), layer("Reshape", "cpu")], quantized=True, decides="Reshape").unit == "cpu"


def test_a_table_is_written_from_answers_and_says_when_and_by_what(tmp_path: Path) -> None:
    configurations = {name: catalogue()[name] for name in ("Conv", "Exp")}
    made = tables.table(TARGETS["rk3588"], configurations, ANSWERS, "2.5.0", date(2026, 11, 23))
    written: dict[str, Any] = json.loads(tables.write(made, tmp_path).read_text())
    assert written["probed"] == {"toolkit": "2.5.0", "day": "2026-11-23", "cases": 2}
    assert written["cases"]["Conv"]["int8"] == {"unit": "npu", "native": ["Conv"], "cycles": 9216, "kilobytes": 20.0}
    assert written["cases"]["Exp"]["int8"]["float"] is True
    assert written["limits"] == tables.shipped("rk3588")["limits"]
    partial = tables.table(TARGETS["rk3588"], configurations, ANSWERS, "2.5.0", date(2026, 11, 23), partial=True)
    assert partial["cases"].keys() > written["cases"].keys() - set(tables.STANDING)


def test_a_soc_without_float16_has_no_such_column() -> None:
    configurations = {"Conv": catalogue()["Conv"]}
    answers = {("Conv", "int8"): ANSWERS["Conv", "int8"]}
    made = tables.table(TARGETS["rv1106"], configurations, answers, "2.5.0", date(2026, 11, 23))
    assert made["cases"]["Conv"]["fp16"] == {"unit": "refused", "why": "rv1106 has no float16"}


def test_judging_tells_agreement_from_the_two_kinds_of_disagreement() -> None:
    configurations = {name: catalogue()[name] for name in ("Conv", "Exp", "Sum_3in")}
    answers = {**ANSWERS, ("Exp", "fp16"): Answer("npu", ("Exp",))}
    result = compare(configurations, TARGETS["rk3588"], answers)
    found = {(one.configuration.name, one.precision): one for one in result.judgements}
    assert found["Conv", "int8"].agrees
    assert found["Exp", "int8"].verdict.outcome is Outcome.NATIVE_CPU
    assert not found["Exp", "fp16"].agrees
    assert found["Sum_3in", "int8"].accepted_but_refused == (found["Sum_3in", "int8"].verdict.outcome is not Outcome.REFUSED)
    assert 0 < result.share < 1


def test_draws_are_the_same_for_a_seed_and_never_the_catalogues() -> None:
    drawn, again, other = draw(30, 7), draw(30, 7), draw(30, 8)
    assert {name: one.to_dict() for name, one in drawn.items()} == {name: one.to_dict() for name, one in again.items()}
    assert [one.to_dict() for one in drawn.values()] != [one.to_dict() for one in other.values()]
    known = [one.to_dict() for one in catalogue().values()]
    assert all(one.to_dict() not in known for one in drawn.values())
    assert len({one.operators for one in drawn.values()}) > 10


@pytest.mark.toolkit2
def test_a_few_operators_are_asked_for_real_and_remembered(toolkit: Toolkit, tmp_path: Path) -> None:
    some = {name: catalogue()[name] for name in ("Conv", "Exp", "f_attn_noscale", "Transpose_3d")}
    answers = Survey(tmp_path).run(some, TARGETS["rk3588"], ("fp16", "int8"), nothing)
    table = load_table("rk3588")
    for (name, column), answer in answers.items():
        assert answer.unit == table.cases[name][column].unit
    assert answers["f_attn_noscale", "fp16"].native.count("exSDPAttention") == 1
    lines = (tmp_path / "rk3588.jsonl").read_text()
    assert Survey(tmp_path).run(some, TARGETS["rk3588"], ("fp16", "int8"), nothing) == answers
    assert (tmp_path / "rk3588.jsonl").read_text() == lines


@pytest.mark.parametrize("soc", TARGETS)
def test_every_case_that_a_drawn_configuration_comes_to_was_asked(soc: str, drawn_views: list[View]) -> None:
    for precision in TARGETS[soc].precisions:
        for view in drawn_views:
            assert not [
                verdict.detail for verdict in verdicts(view, TARGETS[soc], precision) if "was not asked" in verdict.detail
            ]


@pytest.fixture(scope="module")
def drawn_views() -> list[View]:
    return [view_of(configuration) for configuration in draw(300, 7).values()]


@pytest.mark.toolkit2
@pytest.mark.slow
def test_the_tables_hold_on_configurations_that_they_were_not_made_from(toolkit: Toolkit, tmp_path: Path) -> None:
    """Forty of one seed; the figures over 200 a SoC are in docs/capability.md. Of a table that is wrong in 2 % of the
    configurations, forty show four or more with a probability of 0.8 % (binomial)."""
    result = judge_drawn(TARGETS["rk3588"], 40, SEED, Survey(tmp_path), nothing)
    assert len(result.counted) == 40
    assert [one.to_dict() for one in result.accepted_but_refused] == []
    assert len(result.disagreements) <= 3, [one.to_dict() for one in result.disagreements]


SEED = 501
