"""`rknn-ep toolkit`: install, use, status and remove the vendor's toolkit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import Timeout

from rknn_ep.cli.output import EXIT_ERROR, Json, print_json, progress, stderr, stdout
from rknn_ep.errors import OptionError
from rknn_ep.records import Command
from rknn_ep_toolkit2.environment import VARIABLE, Toolkit, chosen, current, data_folder, installed, installing, unfinished
from rknn_ep_toolkit2.environment import remove as remove_toolkit
from rknn_ep_toolkit2.environment import use as use_toolkit
from rknn_ep_toolkit2.errors import ToolkitError
from rknn_ep_toolkit2.probe_command import probe
from rknn_ep_toolkit2.requirements import DEFAULT_VERSION

Version = Annotated[str, typer.Option("--version", help="Release of rknn-toolkit2; several live side by side.")]


def toolkit_commands() -> Iterable[Command]:
    """What the group `rknn-ep toolkit` holds."""
    yield Command("install", install, "Make the toolkit's own environment in your data folder.")
    yield Command("use", use, "Adopt a Python that has the toolkit, or choose among the installed ones.")
    yield Command("status", status, "Say which toolkit is used, which others there are, and whether it starts.")
    yield Command("probe", probe, "Ask the compiler what it takes, and write or judge the capability tables.")
    yield Command("remove", remove, "Delete an installation, or forget an adopted Python.")


def install(
    version: Version = DEFAULT_VERSION,
    python: Annotated[
        Path | None,
        typer.Option("--python", help="Interpreter or version (3.11) to make it with (default: a fitting one that is found)."),
    ] = None,
    pip_args: Annotated[
        str, typer.Option("--pip-args", metavar="ARGS", help="More arguments for pip: '--index-url URL', '--no-index ...'.")
    ] = "",
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Agree to the vendor's terms without being asked, in scripts.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Make it anew, even if it is complete.")] = False,
    json: Json = False,
) -> None:
    """Make an environment for Rockchip's rknn-toolkit2, the only compiler that writes .rknn files.

    About 1.5 GB, in your data folder; nothing of it enters the environment that rknn-ep runs in. An interrupted
    installation is taken up where it stopped by running the same command again.

    Example: `rknn-ep toolkit install`

    In a script: `rknn-ep toolkit install --accept-license --json`

    Without a network: `rknn-ep toolkit install --pip-args '--no-index --find-links wheels/'`
    """
    from rknn_ep_toolkit2 import installation

    planned = installation.plan(version, python)
    if not accept_license:
        _ask_for_agreement()
    with progress() as show:
        toolkit = installation.install(planned, pip_arguments=_split(pip_args), force=force, progress=show)
    result = {"version": toolkit.version, "python": toolkit.python, "made_with": planned.base}
    if json:
        print_json(result)
    else:
        stdout().print(f"rknn-toolkit2 {toolkit.version} is installed and used: {toolkit.python}", markup=False, soft_wrap=True)


def use(
    python: Annotated[str, typer.Argument(help="A Python, a virtual environment, or the version of an installation.")],
    json: Json = False,
) -> None:
    """Choose the toolkit for this and all later programs.

    Example: `rknn-ep toolkit use ~/venvs/rknn/bin/python`

    One that is installed: `rknn-ep toolkit use 2.5.0`
    """
    named = [toolkit for toolkit in installed() if toolkit.version == python]
    if not named and re.fullmatch(r"\d+(\.\d+)+", python) and not Path(python).exists():
        raise _unknown(python)
    toolkit = use_toolkit(named[-1].python if named else Path(python))
    if json:
        print_json({"version": toolkit.version, "python": toolkit.python})
    else:
        stdout().print(f"rknn-toolkit2 {toolkit.version} is used: {toolkit.python}", markup=False, soft_wrap=True)


def status(
    check: Annotated[bool, typer.Option("--check/--no-check", help="Start the toolkit and time its import.")] = True,
    json: Json = False,
) -> None:
    """Say which toolkit is used and why, which others there are, and whether it starts.

    Leaves with 1 if none can be used.

    Example: `rknn-ep toolkit status`
    """
    found = describe(check)
    if json:
        print_json(found)
    else:
        _print(found)
    if found["error"]:
        raise typer.Exit(EXIT_ERROR)


def remove(
    toolkit: Annotated[str, typer.Argument(help="Version or Python, as `status` shows it.")],
    json: Json = False,
) -> None:
    """Delete an installation that `install` made, finished or not; an adopted Python is only forgotten.

    Example: `rknn-ep toolkit remove 2.5.0`
    """
    try:
        with installing(0):
            removed = _remove(toolkit)
    except Timeout as error:
        raise ToolkitError("an installation is going on", kind="environment", remedy="Wait for its end, or end it.") from error
    if not removed:
        raise _unknown(toolkit)
    if json:
        print_json({"removed": removed})
        return
    for one in removed:
        stdout().print(f"{one['python']}: {'deleted' if one['deleted'] else 'forgotten'}", markup=False, soft_wrap=True)


def _remove(toolkit: str) -> list[dict[str, Any]]:
    found = [one for one in installed() if toolkit in (one.version, str(one.python))]
    removed = [{"version": one.version, "python": one.python, "deleted": remove_toolkit(one)} for one in found]
    for folder in unfinished():
        if folder.name == toolkit or folder.name.startswith(f"{toolkit}-python") or toolkit == str(folder / "bin/python"):
            shutil.rmtree(folder)
            removed.append({"version": folder.name.partition("-")[0], "python": folder, "deleted": True})
    return removed


def _unknown(toolkit: str) -> OptionError:
    there = ", ".join(f"{one.version} ({one.python})" for one in installed()) or "none"
    return OptionError(f"there is no toolkit '{toolkit}'", remedy=f"There are: {there}.")


def describe(check: bool) -> dict[str, Any]:
    """What `status` says, for programs."""
    error: ToolkitError | None = None
    used: Toolkit | None = None
    seconds = None
    try:
        used = current()
        if check:
            seconds = _start(used)
    except ToolkitError as failure:
        error = failure
    reason = f"{VARIABLE} names it" if os.environ.get(VARIABLE) else "chosen" if chosen() else "the newest"
    known = installed()
    if used is not None and used not in known:
        known.append(used)
    return {
        "used": None if used is None else {"version": used.version, "python": used.python, "because": reason},
        "starts_in_seconds": seconds,
        "error": None if error is None else {"message": error.message, "remedy": error.remedy, "kind": error.kind},
        "toolkits": [{"version": one.version, "python": one.python, "used": one == used} for one in known],
        "unfinished": unfinished(),
        "folder": data_folder(),
    }


def _start(toolkit: Toolkit) -> float:
    import time

    from rknn_ep_toolkit2.worker.server import Server

    started = time.monotonic()
    Server(toolkit).close()
    return round(time.monotonic() - started, 1)


def _print(found: dict[str, Any]) -> None:
    from rich.table import Table

    console = stdout()
    table = Table("", "version", "python", box=None, pad_edge=False, header_style="bold")
    for one in found["toolkits"]:
        table.add_row("*" if one["used"] else "", one["version"], str(one["python"]))
    if found["toolkits"]:
        console.print(table)
    for folder in found["unfinished"]:
        console.print(f"unfinished: {folder}; 'install' goes on with it, 'remove' deletes it", markup=False, soft_wrap=True)
    if found["used"]:
        console.print(f"used: {found['used']['version']} ({found['used']['because']})")
    if found["starts_in_seconds"] is not None:
        console.print(f"starts in {found['starts_in_seconds']} s")
    if found["error"]:
        console.print("[red]error:[/] ", end="")
        console.print(found["error"]["message"], markup=False, soft_wrap=True)
        console.print(f"  {found['error']['remedy']}", markup=False, soft_wrap=True)


def _ask_for_agreement() -> None:
    from rknn_ep_toolkit2.licence import SUMMARY

    stderr().print(SUMMARY, markup=False, soft_wrap=True)
    if not sys.stdin.isatty():
        raise OptionError(
            "the vendor's terms have to be agreed to before rknn-toolkit2 is installed",
            remedy="Read them, then add --accept-license.",
        )
    if not typer.confirm("Do you agree to the terms of the RKNN SDK License?", default=False, err=True):
        raise ToolkitError("nothing was installed: the vendor's terms were not agreed to", kind="environment")


def _split(arguments: str) -> list[str]:
    try:
        return shlex.split(arguments)
    except ValueError as error:
        raise OptionError(f"--pip-args '{arguments}' cannot be read: {error}") from error
