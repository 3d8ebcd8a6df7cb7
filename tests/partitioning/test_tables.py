"""The tables are whole, say where each entry comes from, and the rules ask for nothing that they lack."""

from __future__ import annotations

import inspect
import re

import pytest

from rknn_ep.errors import RknnEpError
from rknn_ep.partitioning import rules
from rknn_ep.partitioning.patterns import PATTERN_CASES
from rknn_ep.partitioning.rules import RULES, elementwise, reduction
from rknn_ep.partitioning.tables_reader import Limit, load_table
from tests.partitioning.helpers import TARGETS

UNITS = {"npu", "mixed", "cpu", "refused", "crashed", "unmeasured"}
INHERITED = {"rk3568": "rk3566", "rv1126b": "rk3576", "rv1103": "rv1106", "rv1103b": "rv1106b"}


def named_in_rules() -> set[str]:
    """Every case name that stands literally in a rule module, and those of the longest table that one puts together."""
    modules = [module for _, module in inspect.getmembers(rules, inspect.ismodule)]
    text = "\n".join(inspect.getsource(module) for module in modules)
    literal = re.findall(r'"((?:l_|p_)?[A-Z][A-Za-z0-9]*(?:_[A-Za-z0-9_]+|[13]d))"', text)
    formatted = re.findall(r'Case\(f"((?:l_)?[A-Z][^"]+)"', text)
    built = "|".join(re.sub(r"\\{.*?\\}", r"\\w*", re.escape(name)) for name in formatted)
    named = {name for name in literal if not name.isupper()}
    return named | {name for name in load_table("rk3588").cases if re.fullmatch(built, name)}


@pytest.mark.parametrize("soc", TARGETS)
def test_every_case_that_a_rule_names_is_in_the_table(soc: str) -> None:
    cases = load_table(soc).cases
    own = {name for name in elementwise.UNARY if name not in elementwise.LOWERED}
    lowered = {case.name for case in elementwise.LOWERED.values()} | {f"l_{operator}" for operator in reduction.LOWERED}
    wanted = named_in_rules() | own | lowered | set(PATTERN_CASES.values())
    assert wanted <= cases.keys()


@pytest.mark.parametrize("soc", TARGETS)
def test_every_finding_has_a_known_unit_and_a_source(soc: str) -> None:
    for findings in load_table(soc).cases.values():
        for found in findings.values():
            assert found.unit in UNITS
            assert found.source
            assert found.native or found.why or found.unit in ("npu", "cpu")


@pytest.mark.parametrize(("soc", "donor"), INHERITED.items())
def test_inherited_findings_say_from_whom(soc: str, donor: str) -> None:
    assert f"{soc} inherits from {donor}" in load_table(soc).cases["Conv"]["int8"].source


@pytest.mark.parametrize("soc", sorted(set(TARGETS) - INHERITED.keys()))
def test_probed_socs_inherit_nothing_and_say_when_they_were_asked(soc: str) -> None:
    for case, findings in load_table(soc).cases.items():
        for found in findings.values():
            assert "inherits" not in found.source
            assert f"RKNN-Toolkit2 2.5.0 for {soc}, 2026-" in found.source or case in ("QDQ", "Identity", "Dropout", "Upsample")


def test_a_soc_without_float16_takes_nothing_in_float16() -> None:
    for soc in ("rv1103", "rv1106", "rv1103b", "rv1106b"):
        found = load_table(soc).cases["Conv"]
        assert (found["fp16"].unit, found["int8"].unit) == ("refused", "npu")


@pytest.mark.parametrize("soc", TARGETS)
def test_limits_are_ranges_with_a_source(soc: str) -> None:
    limits = load_table(soc).limits
    assert limits["Conv"]["kernel"].words("kernel") == "kernel in [1, 36]"
    assert "Operator List V2.3.2" in limits["Conv"]["kernel"].source
    for rows in limits.values():
        for limit in rows.values():
            assert limit.maximum is None or limit.minimum <= limit.maximum


def test_a_multiple_binds_above_one_only() -> None:
    limit = Limit(1, 8192, multiple_of=4)
    assert [figure for figure in (0, 1, 2, 4, 6, 8, 8193) if limit.holds(figure)] == [1, 4, 8]
    assert limit.words("batch") == "batch in [1, 8192], a multiple of 4 above 1"


def test_an_unknown_table_names_the_nearest() -> None:
    with pytest.raises(RknnEpError, match="did you mean 'rk3588'"):
        load_table("rk3589")


def test_every_rule_has_an_operator_of_onnx() -> None:
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if schema.domain == ""}
    assert RULES.keys() <= known
