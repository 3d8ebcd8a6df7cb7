"""`rknn-ep doctor`: what is wrong with this machine, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rknn_ep.cli.output import EXIT_BELOW, Json, print_json, stdout
from rknn_ep.errors import ArtifactError
from rknn_ep.health import Finding, examine, worst
from rknn_ep.options import Options
from rknn_ep.records import HealthContext

MARKS = {"ok": "[green]ok[/]", "skipped": "[dim]-[/]", "warning": "[yellow]warning[/]", "error": "[bold red]error[/]"}


def doctor(
    model: Annotated[Path | None, typer.Argument(help="A model that is to run here, compiled or not.")] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="SOC", help="The SoC it is to run on.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="The device it is to run on.")] = None,
    contexts: Annotated[int, typer.Option("--contexts", min=1, help="How many contexts are to run side by side.")] = 1,
    input_shapes: Annotated[
        str | None, typer.Option("--input-shapes", metavar="NAME:1,3,H,W;...", help="Shapes of a dynamic model.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Leave with exit code 3 for warnings too.")] = False,
    json: Json = False,
) -> None:
    """Check this machine, and with MODEL whether that model can run on it.

    Each check gives a verdict, its evidence and what to do. Exit codes: 0 nothing is wrong (warnings may stand); 3 at least one
    check found an error, or with --strict a warning; 1 and 2 as for every command.

    Example: `rknn-ep doctor`

    Before a deployment: `rknn-ep doctor model_ctx.onnx --target rk3588 --contexts 3`
    """
    if model is not None and not model.is_file():
        raise ArtifactError(f"there is no file {model}")
    given = {"target": target, "device": device, "contexts": str(contexts), "input_shapes": input_shapes}
    options = {name: value for name, value in given.items() if value is not None}
    Options.parse(options)
    findings = list(examine(HealthContext(model, options)))
    verdict = worst(findings)
    if json:
        print_json({"verdict": verdict, "checks": [_to_dict(finding) for finding in findings]})
    else:
        _print(findings)
    if verdict == "error" or (strict and verdict == "warning"):
        raise typer.Exit(EXIT_BELOW)


def _to_dict(finding: Finding) -> dict[str, Any]:
    return {"check": finding.check, "plugin": finding.plugin, **asdict(finding.health)}


def _print(findings: list[Finding]) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("check", "verdict", "evidence", box=None, header_style="dim", padding=(0, 2, 0, 0))
    for finding in findings:
        health = finding.health
        remedy = f"\n[bold]{escape(health.remedy)}[/]" if health.remedy and health.verdict in ("warning", "error") else ""
        table.add_row(finding.check, MARKS[health.verdict], escape(health.evidence) + remedy)
    stdout().print(table)
