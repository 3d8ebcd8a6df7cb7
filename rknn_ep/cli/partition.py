"""`rknn-ep partition`: what goes to the NPU, and for each node that does not, why."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rknn_ep.cli.flags import provider_flags
from rknn_ep.cli.output import EXIT_BELOW, Json, print_json, stderr

if TYPE_CHECKING:
    from rknn_ep.partitioning.report import Report

Model = Annotated[Path, typer.Argument(help="The model, .onnx or what an importer plugin reads.", show_default=False)]


class Format(StrEnum):
    """How the report is written."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"


@provider_flags
def partition(
    model: Model,
    options: dict[str, Any],
    format: Annotated[Format, typer.Option("--format", "-f", help="How to write the report.")] = Format.TABLE,
    json: Json = False,
) -> None:
    """Say what of a model goes to the NPU, and for each node that does not, why, with the limit it breaks.

    Nothing is quantised or compiled, no data is needed: ask this first.

    Example: `rknn-ep partition model.onnx --target rk3588 --precision fp16`

    A dynamic model: `rknn-ep partition model.onnx --input-shapes 'images:1,3,640,640'`

    For a pull request: `rknn-ep partition model.onnx --format markdown > report.md`
    """
    import rknn_ep

    report = rknn_ep.partition(model, **options)
    if json or format is Format.JSON:
        print_json(report.to_dict())
    else:
        typer.echo(report.to_markdown() if format is Format.MARKDOWN else report.to_table())


def below_if_nothing(report: Report) -> None:
    """Leave with exit code 3 when what was written has no partition: it is the model as it came in."""
    if not report.partitions:
        stderr().print(f"nothing of this model runs on {report.target}: what was written has no partition", style="red")
        raise typer.Exit(EXIT_BELOW)
