"""The eleven SoCs and what is known of them."""

from __future__ import annotations

import pytest

from rknn_ep.partitioning.targets import throughput
from rknn_ep.records import Target
from tests.partitioning.helpers import TARGETS

NAMES = ["rk2118", "rk3562", "rk3566", "rk3568", "rk3576", "rk3588", "rv1103", "rv1103b", "rv1106", "rv1106b", "rv1126b"]


def test_all_eleven_are_there_by_name() -> None:
    assert list(TARGETS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_names_its_sources_and_has_a_throughput(name: str) -> None:
    assert TARGETS[name].source
    figures = throughput(TARGETS[name])
    assert figures.npu_int8_gmacs > figures.cpu_gmacs > 0
    assert figures.border_gbps > 0
    assert figures.npu and figures.cpu


def test_cores_and_masks() -> None:
    assert (TARGETS["rk3588"].cores, TARGETS["rk3588"].core_masks) == (3, (1, 2, 4, 3, 7))
    assert (TARGETS["rk3576"].cores, TARGETS["rk3576"].core_masks) == (2, (1, 2, 3))
    assert all(
        target.cores == 1 and not target.core_masks for target in TARGETS.values() if target.name not in ("rk3588", "rk3576")
    )


def test_precisions_are_what_the_compiler_builds() -> None:
    assert {name for name in NAMES if "int8" not in TARGETS[name].precisions} == {"rk2118"}
    assert {name for name in NAMES if "fp16" not in TARGETS[name].precisions} == {"rv1103", "rv1103b", "rv1106", "rv1106b"}
    assert {name for name in NAMES if "int16" not in TARGETS[name].precisions} == {"rv1103b", "rv1106b", "rk2118"}


def test_small_parts_lack_the_copying_api() -> None:
    assert {name for name in NAMES if not TARGETS[name].copying_api} == {"rv1103", "rv1103b", "rv1106", "rv1106b", "rk2118"}


def test_a_plugins_target_borrows_the_figures_of_its_table() -> None:
    borrowed = throughput(Target("rk3583", ("int8",), capability_table="rk3588"))
    assert borrowed == throughput(TARGETS["rk3588"])
    assert throughput(Target("unheard-of", ("int8",))) == throughput(TARGETS["rk3566"])
