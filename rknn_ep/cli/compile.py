"""`rknn-ep compile`: ahead of time, into an EPContext model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rknn_ep.cli.flags import provider_flags
from rknn_ep.cli.output import Json, print_json, progress
from rknn_ep.cli.partition import Model, below_if_nothing

if TYPE_CHECKING:
    from rknn_ep.partitioning.report import Report


@provider_flags
def compile_model(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="Where to write the EPContext model.", show_default=False)],
    options: dict[str, Any],
    embed_mode: Annotated[
        int, typer.Option(min=0, max=1, help="1: compiled partitions inside the model; 0: files beside it, which suits boards.")
    ] = 1,
    also_target: Annotated[
        list[str] | None,
        typer.Option("--also-target", metavar="SOC", help="Compile the partitions for this SoC too; may be repeated."),
    ] = None,
    strip_simulation: Annotated[
        bool, typer.Option("--strip-simulation", help="Leave out what only the simulator needs: for boards.")
    ] = False,
    format: Annotated[
        str, typer.Option(metavar="epcontext|rknn", help="rknn: .rknn files with their companions beside them, no ONNX model.")
    ] = "epcontext",
    json: Json = False,
) -> None:
    """Compile ahead of time into an ordinary ONNX model whose partitions are ready to load (EPContext nodes).

    It loads without planning, calibration or Python, also from C and C++ programs. What boards load is compiled with the vendor's
    toolkit where that is installed (`rknn-ep toolkit install`); without it the result runs on the simulator only.

    Example: `rknn-ep compile model.onnx -o model_ctx.onnx --target rk3588 --calibration photos/`

    For a fleet: `rknn-ep compile model.onnx -o model_ctx.onnx --target rk3588 --also-target rk3576 --calibration photos/`

    In half precision, without data: `rknn-ep compile model.onnx -o model_ctx.onnx --precision fp16`
    """
    import rknn_ep

    output.parent.mkdir(parents=True, exist_ok=True)
    started = time.time()
    with progress() as show:
        report = rknn_ep.compile(
            model,
            output,
            embed_mode=embed_mode,
            also_targets=also_target or (),
            strip_simulation=strip_simulation,
            format=format,
            progress=show,
            **options,
        )
    if json:
        print_json({"output": output, "embed_mode": embed_mode, **report.to_dict()})
    else:
        typer.echo(report.to_table())
        typer.echo("\n" + _written(output, report, also_target or (), started))
    below_if_nothing(report)


def _written(output: Path, report: Report, also: Sequence[str], started: float) -> str:
    """What was written since `started`: the output, which has its partition's or target's name in it where there are several, and
    bundles beside it.
    """
    from rknn_ep.artifact.cache import BUNDLE_SUFFIX

    parts = ["", *(f"_{part.name}" for part in report.partitions)]
    stems = [f"{output.stem}{part}{soc}" for part in parts for soc in ("", *(f"_{target}" for target in (report.target, *also)))]
    files = [output.with_name(f"{stem}{suffix}") for stem in stems for suffix in (output.suffix, BUNDLE_SUFFIX)]
    new = [file for file in files if file.exists() and file.stat().st_mtime > started - 1]  # file systems count coarsely
    return "\n".join(f"wrote {file} ({file.stat().st_size / 1e6:.1f} MB)" for file in new)
