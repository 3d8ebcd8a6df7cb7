"""The board as a whole: what `device=board` needs, and what it lacks."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rknn_ep.records import Health
from rknn_ep_board.combinations import Version, Versions, known_bad, version_text
from rknn_ep_board.driver import Driver, read_driver
from rknn_ep_board.library import LIBRARY_VARIABLE, Library, find_library
from rknn_ep_board.machine import Machine
from rknn_ep_board.soc import Soc, read_soc

_DRIVERLESS = "Use the board maker's image (a kernel with Rockchip's rknpu driver)."
_ACCESS = 'sudo usermod -aG video,render $USER, and log in again; for a node of root\'s alone, a udev rule with MODE="0660".'
_RUNTIME = (
    "Copy librknnrt.so of the toolkit's version to /usr/lib (airockchip/rknn-toolkit2, rknpu2/runtime), "
    f"or name it in {LIBRARY_VARIABLE}."
)


@dataclass(frozen=True)
class Board:
    """A Rockchip board as its device tree, sysfs and libraries show it."""

    soc: Soc
    driver: Driver
    library: Library | None
    processor: str
    """What programs here run on, as `uname -m` has it."""

    @property
    def cores(self) -> int:
        """NPU cores: as the driver lists them, else as the SoC has them."""
        return self.driver.cores or self.soc.cores

    def versions(self, toolkit: Version = ()) -> Versions:
        """What meets here, for the table of known-bad combinations."""
        return Versions(self.soc.target, self.cores, self.driver.version, self.library.version if self.library else (), toolkit)

    def metadata(self) -> Mapping[str, str]:
        """What a host runtime shows of the device; what is not known is left out."""
        known = {
            "soc": self.soc.name,
            "board": self.soc.board,
            "target": self.soc.target,
            "cores": str(self.cores or ""),
            "driver_version": version_text(self.driver.version) if self.driver.version else "",
            "runtime_version": version_text(self.library.version) if self.library and self.library.version else "",
            "library": str(self.library.path) if self.library else "",
            "device_nodes": ",".join(node.path for node in self.driver.nodes),
            "known_bad": ",".join(combination.name for combination in known_bad(self.versions())),
        }
        return {key: value for key, value in known.items() if value}


def read_board(machine: Machine | None = None, processor: str | None = None) -> Board:
    """Look at this machine, or at the one given; nothing is opened or loaded."""
    machine = machine or Machine.here()
    return Board(read_soc(machine), read_driver(machine), find_library(machine), processor or platform.machine())


# --------------------------------------------------------------------------------------------- what it needs


def check_soc(board: Board) -> Health:
    """A Rockchip SoC with an NPU that rknn_api drives."""
    if not board.soc.name:
        return Health("skipped", "this is no Rockchip board")
    if not board.soc.target:
        return Health("error", f"the {board.soc.name} has no NPU that rknn_api drives", "Use device=simulator.")
    where = f"{board.soc.name}, {board.cores} NPU core{'s' if board.cores != 1 else ''}"
    if board.soc.disabled:
        return Health("error", f"{where}, and the device tree switches the NPU off (status is not okay)", _DRIVERLESS)
    if board.cores < board.soc.cores:
        said = f"{where} of {board.soc.cores}: the driver sees fewer"
        return Health("warning", said, "Masks of missing cores will be refused.")
    return Health("ok", f"{where} ({board.soc.board})" if board.soc.board else where)


def check_driver(board: Board) -> Health:
    """The vendor's kernel driver."""
    if not board.soc.target:
        return Health("skipped", "there is no such NPU")
    if board.soc.mainline:
        return Health(
            "error",
            f"the kernel is mainline Linux with the driver accel/rocket ({board.soc.npu}): librknnrt.so does not speak to it",
            _DRIVERLESS,
        )
    if not board.driver.present:
        return Health("error", "no rknpu driver: neither a version nor a device node of it is found", _DRIVERLESS)
    if not board.driver.version:
        return Health("warning", "the driver's version can be read by root only", "sudo rknn-ep doctor")
    return Health("ok", f"rknpu {version_text(board.driver.version)}")


def check_permissions(board: Board) -> Health:
    """Whether this user may open the device node."""
    nodes = board.driver.nodes
    if not nodes or board.soc.mainline:
        return Health("skipped", "there is no device node to open")
    if usable := [node.path for node in nodes if node.usable]:
        return Health("ok", f"{usable[0]} can be opened")
    return Health("error", f"no permission to open {', '.join(node.path for node in nodes)}", _ACCESS)


def check_library(board: Board) -> Health:
    """The vendor's runtime library, for this processor."""
    if not board.soc.target:
        return Health("skipped", "there is no such NPU")
    library = board.library
    if library is None:
        return Health("error", "librknnrt.so, the vendor's runtime, is not found", _RUNTIME)
    if library.simulator:
        return Health("error", f"{library.path} is rknn_ep's simulator, not the vendor's runtime", _RUNTIME)
    if not library.machine:
        return Health("error", f"{library.path} is no library (it does not begin as an ELF file)", _RUNTIME)
    # A 32-bit Arm kernel calls itself armv7l.
    if library.machine != ("arm" if board.processor.startswith("arm") else board.processor):
        return Health("error", f"{library.path} is for {library.machine}, this system runs {board.processor}", _RUNTIME)
    if not library.version:
        return Health("warning", f"{library.path} does not say its version", _RUNTIME)
    return Health("ok", f"{library.path}, version {version_text(library.version)} {library.build}".strip())


def check_versions(board: Board, toolkit: Version = ()) -> Health:
    """Driver, runtime and, with a model, the toolkit that compiled it: together."""
    if not board.soc.target:
        return Health("skipped", "there is no such NPU")
    versions = board.versions(toolkit)
    said = f"driver {version_text(versions.driver)}, runtime {version_text(versions.runtime)}"
    if toolkit:
        said += f", model of toolkit {version_text(toolkit)}"
    found = known_bad(versions)
    if not found:
        return Health("ok", f"{said}: no trouble with these is known")
    worst = "error" if any(combination.verdict == "error" for combination in found) else "warning"
    evidence = "; ".join(f"{combination.name}: {combination.what} [{combination.source}]" for combination in found)
    return Health(worst, f"{said}: {evidence}", " ".join(dict.fromkeys(combination.remedy for combination in found)))


NEEDED: tuple[Callable[[Board], Health], ...] = (check_soc, check_driver, check_permissions, check_library, check_versions)
"""What must be right before anything runs on the board."""


def missing(board: Board) -> str:
    """Empty when the board can run models, else everything that stands in the way, each with its remedy."""
    if not board.soc.name:
        return "this is no Rockchip board"
    wrong = [health for check in NEEDED if (health := check(board)).verdict == "error"]
    return "; ".join(f"{health.evidence} ({health.remedy.rstrip('.')})" for health in wrong)
