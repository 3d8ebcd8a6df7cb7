"""What the commands write: results to stdout, everything else (progress, errors, advice) to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rknn_ep.errors import RknnEpError

if TYPE_CHECKING:
    from rich.console import Console

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_BELOW = 3

Json = Annotated[bool, typer.Option("--json", help="Write the result as one JSON document to stdout.")]


def stdout() -> Console:
    """The console for results; as wide as the terminal, and wide enough for a table in a pipe."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=max(console.width, 120))


def stderr() -> Console:
    """The console for everything that is not the result."""
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def print_json(result: Mapping[str, Any]) -> None:
    """Write `result` as JSON; NumPy numbers, paths, enumerations and sets become what JSON has for them."""
    typer.echo(json.dumps(result, indent=2, default=_plain, ensure_ascii=False))


def print_error(error: Exception) -> None:
    """One clean message on stderr: what happened, and on a line of its own what to do."""
    message, remedy = (error.message, error.remedy) if isinstance(error, RknnEpError) else (str(error), "")
    console = stderr()
    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False, soft_wrap=True)
    if remedy:
        console.print(f"  {remedy}", markup=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


@contextmanager
def progress() -> Iterator[Callable[[str, float], None]]:
    """A progress line on stderr, fed with (what is going on, share done 0..1); in a pipe it stays silent."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    console = stderr()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("starting", total=1.0)
        yield lambda message, share: bar.update(task, description=message, completed=share)
