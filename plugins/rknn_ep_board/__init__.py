"""The board: Rockchip's own runtime on its own SoC, found through the device tree, sysfs and the library itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from rknn_ep.errors import NotInstalledError
from rknn_ep.hookspecs import hookimpl
from rknn_ep.records import HealthCheck, Runtime


@hookimpl
def rknn_ep_runtimes() -> Iterable[Runtime]:
    """`device=board`, and what `device=auto` means on a Rockchip SoC."""
    yield Runtime(
        "board",
        library=_library,
        available=_unavailable,
        automatic=100,
        at_home=_at_home,
        target=_target,
        metadata=_metadata,
        description="the NPU of this board, through the vendor's librknnrt.so",
    )


@hookimpl
def rknn_ep_health_checks() -> Iterable[HealthCheck]:
    """What can be wrong with a board."""
    from rknn_ep_board.health import all_checks

    return all_checks()


def _library() -> Path:
    from rknn_ep_board.board import missing, read_board

    found = read_board()
    if (why := missing(found)) or found.library is None:
        raise NotInstalledError(f"the board cannot run models: {why}", remedy="rknn-ep doctor")
    return found.library.path


def _unavailable() -> str:
    from rknn_ep_board.board import missing, read_board

    return missing(read_board())


def _at_home() -> bool:
    from rknn_ep_board.machine import Machine
    from rknn_ep_board.soc import read_soc

    return bool(read_soc(Machine.here()).name)


def _target() -> str:
    from rknn_ep_board.machine import Machine
    from rknn_ep_board.soc import read_soc

    return read_soc(Machine.here()).target


def _metadata() -> Mapping[str, str]:
    from rknn_ep_board.board import read_board

    return read_board().metadata()
