"""Rockchip's rknn-toolkit2, which writes .rknn files, in an environment and processes of its own. See docs/toolkit.md."""

from __future__ import annotations

from collections.abc import Iterable

from rknn_ep.hookspecs import hookimpl
from rknn_ep.records import Command, Health, HealthCheck


@hookimpl
def rknn_ep_commands() -> Iterable[Command]:
    """`rknn-ep toolkit install | use | status | remove`."""
    from rknn_ep_toolkit2.commands import toolkit_commands

    yield Command(
        "toolkit",
        description="Install and choose the vendor's toolkit, which writes .rknn files.",
        subcommands=tuple(toolkit_commands()),
    )


@hookimpl
def rknn_ep_health_checks() -> Iterable[HealthCheck]:
    """Whether there is a toolkit to compile with."""
    yield HealthCheck("toolkit2", _check, "the vendor's toolkit, which writes .rknn files")


def _check() -> Health:
    from rknn_ep_toolkit2.environment import current
    from rknn_ep_toolkit2.errors import ToolkitError

    try:
        toolkit = current()
    except ToolkitError as error:
        return Health("warning", error.message, error.remedy)
    return Health("ok", f"rknn-toolkit2 {toolkit.version}, {toolkit.python}")
