"""The entry point `rknn-ep`: builds the application from every plugin's commands and turns errors into exit codes.

Exit codes: 0 done; 1 an error of ours, said in one message; 2 wrong usage or an option that does not exist;
3 done, but the result is below what was asked for; 130 interrupted.
Environment: RKNN_EP_TRACEBACK=1 shows the traceback behind an error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from rknn_ep.cli.output import EXIT_ERROR, EXIT_USAGE, print_error
from rknn_ep.errors import OptionError, RknnEpError
from rknn_ep.plugins import PluginManager, plugins
from rknn_ep.records import Command

HELP = """Run ONNX models on Rockchip NPUs, or on a simulator of them, through ONNX Runtime.

Start with `rknn-ep demo`, then ask about your own model: `rknn-ep partition model.onnx --target rk3588`.
"""

EPILOG = "Exit codes: 0 done, 1 error, 2 wrong usage, 3 the result is below what was asked for, 130 interrupted."


def main() -> None:
    """Run the command line and leave the process with a documented exit code."""
    try:
        build_app(plugins())(prog_name="rknn-ep")
    except (RknnEpError, OSError) as error:
        if os.environ.get("RKNN_EP_TRACEBACK", "") not in ("", "0"):
            raise
        print_error(error)
        sys.exit(EXIT_USAGE if isinstance(error, OptionError) else EXIT_ERROR)


def build_app(manager: PluginManager) -> typer.Typer:
    """The application with one subcommand for every Command record."""
    app = _group("rknn-ep", HELP, manager.commands().values())
    app.info.epilog = EPILOG
    app.callback(help=HELP)(_top_level)
    return app


def _group(name: str, text: str, commands: Iterable[Command]) -> typer.Typer:
    app = typer.Typer(
        name=name,
        help=text,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for command in commands:
        if command.function is None:
            app.add_typer(_group(command.name, command.description, command.subcommands))
        else:
            app.command(command.name, short_help=command.description or None)(command.function)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        import rknn_ep

        typer.echo(f"rknn-ep {rknn_ep.__version__}")
        raise typer.Exit


def _top_level(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Options before any command; the option's callback does all there is to do."""
