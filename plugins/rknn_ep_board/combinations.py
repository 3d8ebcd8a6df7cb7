"""Combinations of SoC, driver, runtime and toolkit that are known not to work, each with who found it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True)
class Versions:
    """What meets on a board; a version that is not known is empty."""

    target: str
    cores: int
    driver: Version = ()
    runtime: Version = ()
    toolkit: Version = ()
    """The compiler that wrote the model."""


@dataclass(frozen=True)
class Combination:
    """A combination that fails."""

    name: str
    applies: Callable[[Versions], bool]
    verdict: str
    """error: no model runs; warning: some do."""
    what: str
    remedy: str
    source: str


def _between(version: Version, first: Version, last: Version) -> bool:
    return bool(version) and first <= version <= last


KNOWN_BAD = (
    Combination(
        "driver-single-core",
        lambda v: _between(v.driver, (0, 9, 2), (0, 9, 3)) and v.cores > 1,
        "warning",
        "drivers 0.9.2 and 0.9.3 fail on NPU cores 1 and 2 ('failed to submit!'); some images fail on every core",
        "Use a kernel with driver 0.9.6 or later; until then set core_mask=0x1 and contexts=1.",
        "airockchip/rknn-toolkit2 issues 38 and 294, radxa/kernel issue 312, rockchip-linux/rknpu2 issue 123",
    ),
    Combination(
        "driver-too-old",
        lambda v: bool(v.driver) and v.driver < (0, 8, 0) and v.runtime >= (2, 0, 0),
        "error",
        "a runtime of 2.x submits work that drivers before 0.8 refuse ('failed to submit!')",
        "Use a kernel with driver 0.9.6 or later.",
        "airockchip/rknn-toolkit2 issue 447 (runtime 2.3.2 on driver 0.7.2)",
    ),
    Combination(
        "driver-rv1106",
        lambda v: v.target in ("rv1103", "rv1106") and bool(v.driver) and v.driver <= (0, 9, 2) and v.runtime >= (2, 0, 0),
        "warning",
        "driver 0.9.2 of the RV1103/RV1106 kernels works with runtimes of 1.6, not of 2.x",
        "Use a kernel with a later driver, or the runtime and toolkit of 1.6.",
        "LuckfoxTECH/luckfox-pico issue 328",
    ),
    Combination(
        "runtime-too-old",
        lambda v: bool(v.runtime) and v.runtime <= (1, 5, 0),
        "error",
        "runtimes up to 1.5.0 refuse models of file version 6, which toolkits write now ('Invalid RKNN model version 6')",
        "Replace librknnrt.so with the version of the toolkit that compiled the model.",
        "airockchip/rknn-toolkit2 issues 254 and 281, rockchip-linux/rknn-toolkit2 issues 212 and 316",
    ),
    Combination(
        "runtime-older-than-toolkit",
        lambda v: bool(v.runtime and v.toolkit) and v.runtime[:2] < v.toolkit[:2],
        "warning",
        "the model was compiled by a later toolkit than the runtime on the board: it may refuse it or compute something else",
        "Replace librknnrt.so with the version of the toolkit that compiled the model.",
        "airockchip/rknn-toolkit2 issue 281; the vendor asks for equal versions in every 'please try updating' message",
    ),
)


def known_bad(versions: Versions) -> list[Combination]:
    """Every combination that `versions` is."""
    return [combination for combination in KNOWN_BAD if combination.applies(versions)]


def version_text(version: Version) -> str:
    """0.9.8, or "unknown"."""
    return ".".join(map(str, version)) or "unknown"
